package order

import (
	"time"

	"kicau/domain/event"
	"kicau/domain/privacy"
)

func decideConfirm(s State, c Confirm) ([]event.Data, error) {
	switch {
	case c.By != ByBuyer && c.By != ByCarrier:
		return nil, ErrWhoConfirms.About("%q", c.By)
	case s.Standing != Dispatch:
		return nil, s.about(ErrNotShipped)
	case s.Delivered == ByBuyer || s.Delivered == c.By:
		return nil, nil // nobody knows better than the buyer
	}
	return []event.Data{Delivered{c.By}}, nil
}

func decideAnswer(s State, c Answer) ([]event.Data, error) {
	d, err := s.asked(c.Dispute)
	if err != nil {
		return nil, err
	}
	if len(c.Text) > MaxAnswer {
		return nil, ErrAnswerTooLong
	}
	if err := privacy.RefuseCardNumber("text", c.Text); err != nil {
		return nil, err
	}
	if d.Ready && d.Text == c.Text {
		return nil, nil
	}
	if !d.answerable(c.At) || s.answering(d.ID) {
		return nil, ErrDisputeOver.About("dispute %s", d.ID)
	}
	return []event.Data{DisputeAnswered{d.ID, c.Text}}, nil
}

func decideConcede(s State, c Concede) ([]event.Data, error) {
	d, err := s.asked(c.Dispute)
	if err != nil {
		return nil, err
	}
	if d.Conceded {
		return nil, nil
	}
	if !d.Open() || d.Answered || d.Ready || s.answering(d.ID) {
		return nil, ErrDisputeOver.About("dispute %s", d.ID)
	}
	return []event.Data{DisputeConceded{d.ID}}, nil
}

// answering tells whether an answer to the dispute is on its way to the bank.
func (s *State) answering(dispute string) bool {
	return s.Payment.Pending != nil && s.Payment.Pending.Dispute == dispute
}

// asked finds the dispute that is meant: the one named, or the only one open.
func (s *State) asked(id string) (*Dispute, error) {
	if id != "" {
		if d := s.Dispute(id); d != nil {
			return d, nil
		}
		return nil, s.about(ErrNoDispute)
	}
	var open *Dispute
	for i := range s.Disputes {
		if d := &s.Disputes[i]; d.Open() {
			if open != nil {
				return nil, s.about(ErrWhichDispute)
			}
			open = d
		}
	}
	if open == nil {
		return nil, s.about(ErrNoDispute)
	}
	return open, nil
}

// answerable tells whether evidence can still be submitted.
func (d Dispute) answerable(at time.Time) bool {
	return d.Open() && !d.Answered && !d.Conceded && d.Due != nil && at.Before(*d.Due)
}

// ContestDue tells whether evidence is to be submitted: the shop wants it, or
// the time is almost over.
func (d Dispute) ContestDue(at time.Time) bool {
	return d.answerable(at) && (d.Ready || !at.Before(d.Due.Add(-EvidenceMargin)))
}

// EvidenceMargin is how long before evidence is due it is submitted at the
// latest, whether or not the shop has said anything.
const EvidenceMargin = 48 * time.Hour
