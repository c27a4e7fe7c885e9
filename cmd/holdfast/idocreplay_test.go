package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"holdfast/adapters/erpmock/idocport"
	"holdfast/adapters/sap/idoc"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// refusedIDoc is a plant that has sent one goods movement to a SAP that says of IDocs only what the test has it say.
type refusedIDoc struct {
	t    *testing.T
	f    *floors
	sap  *sapPort
	said int
	id   string
}

func sendIDoc(t *testing.T) *refusedIDoc {
	t.Helper()
	w := &refusedIDoc{t: t, sap: newSAPPort(t, idocport.Config{Silent: true}), id: outbox.MessageID("sap", "scrapped")}
	w.f = servePlant(t, written(t, filepath.Join(t.TempDir(), "holdfast.yaml"), fmt.Sprintf(`plant: {number: "1000", zone: Europe/Berlin}
api: {listen: "127.0.0.1:0"}
ops: {listen: "127.0.0.1:0"}
links:
  sap:
    kind: sap-idoc
    client: "100"
    plant: {port: HOLDFAST, system: HFPLANT1}
    sap: {port: SAPS4H, system: S4HCLNT100}
    send: {url: %q, answer_within: 1s}
    receive: {folder: %q}
routes:
  - {kinds: [goods.scrapped], link: sap, mapping: sap-idoc-out}
`, w.sap.URL+idocport.Path, t.TempDir())))
	w.in(func(tx *store.Tx) error {
		m, err := message.New("scrapped", "goods.scrapped", "scrapped", tx.Now, nil)
		m.Body = []byte(`{"plant":"1000","zone":"Europe/Berlin","movement":{"id":"m-9","type":"551","reason":"EXPIRED","items":[{"item":"0001","material":"RM-200","quantity":"1","unit":"PCE","baseQuantity":"1","baseUnit":"PCE"}],"postedAt":"2026-11-24T23:30:00Z","postingDate":"2026-11-25","recordedAt":"2026-11-24T23:30:01Z"}}`)
		if err == nil {
			err = w.f.outbox.Append(t.Context(), tx, m)
		}
		return err
	})
	return w
}

func (w *refusedIDoc) in(act func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.f.db.InTx(w.t.Context(), act); err != nil {
		w.t.Fatal(err)
	}
}

// detail is the message's last delivery, and what its lane is.
func (w *refusedIDoc) detail() (d outbox.Detail, l outbox.Lane) {
	w.t.Helper()
	w.in(func(tx *store.Tx) (err error) {
		if d, err = w.f.outbox.Message(w.t.Context(), tx, w.id); err == nil {
			l, err = w.f.outbox.Lane(w.t.Context(), tx, "sap", d.Lane)
		}
		return err
	})
	return d, l
}

// sent are the numbers of the IDocs that SAP has got, once there are so many.
func (w *refusedIDoc) sent(want int) (numbers []string) {
	w.t.Helper()
	err := until(w.t.Context(), patience, fmt.Sprintf("SAP has %d IDocs, and the plant knows it", want), func() (bool, error) {
		d, _ := w.detail()
		return len(w.sap.texts("MBGMCR03")) == want && d.Settled, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, text := range w.sap.texts("MBGMCR03") {
		numbers = append(numbers, regexp.MustCompile(`<DOCNUM>(\d+)<`).FindStringSubmatch(text)[1])
	}
	return numbers
}

// says has SAP say what became of an IDoc, and gives the state in which that is in the inbox.
func (w *refusedIDoc) says(s idoc.Status) inbox.State {
	w.t.Helper()
	w.said++
	body, err := json.Marshal(s)
	if err != nil {
		w.t.Fatal(err)
	}
	in := message.Incoming{Message: message.Message{
		ID: fmt.Sprint(w.said), Source: "urn:sap:idoc:100:S4HCLNT100", Kind: idoc.StatusKind, Version: 1, Key: idoc.KeyOfStatus(s.Number), Time: w.f.db.Now(), Body: body,
		Place: message.Place{Role: message.Event},
	}}
	if all, err := w.f.inbox.ReceiveAll(w.t.Context(), []message.Incoming{in}, "sap"); err != nil || all[0].Err != nil {
		w.t.Fatal(all, err)
	}
	var got inbox.Message
	err = until(w.t.Context(), patience, "what SAP says is settled", func() (bool, error) {
		err := w.f.db.View(w.t.Context(), func(tx *store.Tx) error {
			all, err := w.f.inbox.Messages(w.t.Context(), tx, inbox.Filter{ID: in.ID})
			if len(all) == 1 {
				got = all[0]
			}
			return err
		})
		return got.State == inbox.Done || got.State == inbox.Quarantined, err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return got.State
}

func (w *refusedIDoc) replay(lane string, force bool) {
	w.t.Helper()
	w.in(func(tx *store.Tx) error {
		_, err := w.f.outbox.Replay(w.t.Context(), tx, "sap", lane, outbox.Range{From: 1, Force: force}, "the material was locked")
		if err == nil {
			err = w.f.outbox.Resume(w.t.Context(), tx, "sap", lane, "the material was locked")
		}
		return err
	})
}

// TestWhatSAPSaysLateOfAnIDocIsNotSaidOfItsReplay: SAP refuses an IDoc, a person replays it by force, and closes the first one in SAP. That is not
// a refusal of the second, which is another IDoc; and that the first was booked after all is for a person. A replay that is not forced
// is not taken for delivered because SAP has refused it before.
func TestWhatSAPSaysLateOfAnIDocIsNotSaidOfItsReplay(t *testing.T) {
	w := sendIDoc(t)
	first := w.sent(1)[0]
	w.says(idoc.Status{Number: first, State: idoc.Refused, Code: "51", Text: "The material is locked"})
	d, l := w.detail()
	if l.State != outbox.Parked || d.Refused == "" {
		t.Fatalf("refused: the lane is %s, the message %q", l.State, d.Refused)
	}

	w.replay(l.Name, false)
	err := until(t.Context(), patience, "a person is asked", func() (bool, error) { _, l = w.detail(); return l.State == outbox.Unknown, nil })
	if err != nil || !strings.Contains(l.Reason, "SAP has refused its IDoc "+first) {
		t.Fatalf("a replay of what SAP has refused: the lane is %s: %s, %v", l.State, l.Reason, err)
	}
	w.in(func(tx *store.Tx) error {
		return w.f.outbox.DiscardInDoubt(t.Context(), tx, d.ID, "booked-by-hand: it is sent anew")
	})

	w.replay(l.Name, true)
	second := w.sent(2)[1]
	if second == first {
		t.Fatalf("the replay went out under the number of the first, %s", first)
	}
	if state := w.says(idoc.Status{Number: first, State: idoc.Refused, Code: "68", Text: "closed by MILLER"}); state != inbox.Done {
		t.Errorf("what SAP says late is %s", state)
	}
	if d, l = w.detail(); l.State != outbox.Open || d.Refused != "" || d.Redelivery != 1 {
		t.Errorf("after SAP's word on the first: the lane is %s (%s), the message refused with %q", l.State, l.Reason, d.Refused)
	}
	w.says(idoc.Status{Number: second, State: idoc.Booked, Code: "41", Document: "4900000001/2026", Kind: "BUS2017"})
	if d, _ = w.detail(); d.Receipt.Document != "4900000001/2026" {
		t.Errorf("the second is called %q", d.Receipt.Document)
	}
	if state := w.says(idoc.Status{Number: first, State: idoc.Booked, Code: "41", Document: "4900000002/2026", Kind: "BUS2017"}); state != inbox.Quarantined {
		t.Errorf("that the first was booked too is %s, want it shown to a person", state)
	}
}

// TestAForcedReplayWhoseNodeDiesBeforeItIsNumberedIsNotTheFirstIDoc: a node takes the replay, and is killed before the replay has a number. What SAP
// says of the first IDoc is not said of the replay: it is not delivered by that. A person decides, and it goes out as another IDoc.
func TestAForcedReplayWhoseNodeDiesBeforeItIsNumberedIsNotTheFirstIDoc(t *testing.T) {
	w := sendIDoc(t)
	first := w.sent(1)[0]
	w.says(idoc.Status{Number: first, State: idoc.Refused, Code: "51", Text: "The material is locked"})
	d, l := w.detail()
	w.says(idoc.Status{Number: first, State: idoc.Received, Code: "64", Text: "it is to be posted anew"})
	w.in(func(tx *store.Tx) error {
		if _, err := w.f.outbox.Replay(t.Context(), tx, "sap", l.Name, outbox.Range{From: 1, Force: true}, "the material was locked"); err != nil {
			return err
		}
		if err := w.f.outbox.Resume(t.Context(), tx, "sap", l.Name, "the material was locked"); err != nil {
			return err
		}
		if taken, err := w.f.outbox.Claim(t.Context(), tx, "killed", "sap", 1, 1); err != nil || len(taken) != 1 {
			return fmt.Errorf("%d lanes taken: %w", len(taken), err)
		}
		_, err := w.f.outbox.TakeBack(t.Context(), tx, "killed", "sap", nil)
		return err
	})
	err := until(t.Context(), patience, "a person is asked", func() (bool, error) {
		d, now := w.detail()
		l = now
		return l.State == outbox.Unknown || d.Redelivery == 1 && d.Settled, nil
	})
	if d, _ := w.detail(); err != nil || d.Settled && d.Redelivery == 1 || !strings.Contains(l.Reason, "its answer was lost") || strings.Contains(l.Reason, first) {
		t.Fatalf("by SAP's word on the first IDoc, %s, its replay is settled (%t): the lane is %s: %s, %v", first, d.Settled, l.State, l.Reason, err)
	}
	w.in(func(tx *store.Tx) error {
		return w.f.outbox.SendAgain(t.Context(), tx, d.ID, "SAP has no other IDoc of it")
	})
	if second := w.sent(2)[1]; second == first {
		t.Errorf("the replay went out under the number of the first, %s", first)
	}
}
