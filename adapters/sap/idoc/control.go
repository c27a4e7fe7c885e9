package idoc

import "time"

// Control is the control record of an IDoc, EDI_DC40, by the names of its fields.
type Control map[string]string

// place is where a field stands in a flat record, in characters.
type place struct {
	name           string
	offset, length int
}

// The records of flat files.
const (
	controlName   = "EDI_DC40"
	controlLength = 524
	dataHead      = 63 // before SDATA
	dataLength    = 1000
)

// controlFields are those of EDI_DC40, in order.
func controlFields() []place {
	return []place{
		{"TABNAM", 0, 10},
		{"MANDT", 10, 3},
		{"DOCNUM", 13, 16},
		{"DOCREL", 29, 4},
		{"STATUS", 33, 2},
		{"DIRECT", 35, 1},
		{"OUTMOD", 36, 1},
		{"EXPRSS", 37, 1},
		{"TEST", 38, 1},
		{"IDOCTYP", 39, 30},
		{"CIMTYP", 69, 30},
		{"MESTYP", 99, 30},
		{"MESCOD", 129, 3},
		{"MESFCT", 132, 3},
		{"STD", 135, 1},
		{"STDVRS", 136, 6},
		{"STDMES", 142, 6},
		{"SNDPOR", 148, 10},
		{"SNDPRT", 158, 2},
		{"SNDPFC", 160, 2},
		{"SNDPRN", 162, 10},
		{"SNDSAD", 172, 21},
		{"SNDLAD", 193, 70},
		{"RCVPOR", 263, 10},
		{"RCVPRT", 273, 2},
		{"RCVPFC", 275, 2},
		{"RCVPRN", 277, 10},
		{"RCVSAD", 287, 21},
		{"RCVLAD", 308, 70},
		{"CREDAT", 378, 8},
		{"CRETIM", 386, 6},
		{"REFINT", 392, 14},
		{"REFGRP", 406, 14},
		{"REFMES", 420, 14},
		{"ARCKEY", 434, 70},
		{"SERIAL", 504, 20},
	}
}

// dataFields are those of EDI_DD40 before SDATA.
func dataFields() []place {
	return []place{{"SEGNAM", 0, 30}, {"MANDT", 30, 3}, {"DOCNUM", 33, 16}, {"SEGNUM", 49, 6}, {"PSGNUM", 55, 6}, {"HLEVEL", 61, 2}}
}

// Partner is one side of an exchange of IDocs, a logical system.
type Partner struct {
	Port   string `yaml:"port"`   // SNDPOR or RCVPOR
	System string `yaml:"system"` // SNDPRN or RCVPRN, the name of the logical system
}

// head is what the control record of an IDoc from one to another is made of.
type head struct {
	client, release  string
	from, to         Partner
	number, key      string
	basic, messaging string
	inbound          bool // to SAP
	at               time.Time
}

// control is a complete control record. SERIAL orders the IDocs of one object where SAP serializes by it: it grows with time.
func (h head) control() Control {
	direction := "1"
	if h.inbound {
		direction = "2"
	}
	return Control{
		"TABNAM": controlName, "MANDT": h.client, "DOCNUM": h.number, "DOCREL": h.release, "DIRECT": direction, "OUTMOD": "2",
		"IDOCTYP": h.basic, "MESTYP": h.messaging, "SNDPOR": h.from.Port, "SNDPRT": "LS", "SNDPRN": h.from.System, "RCVPOR": h.to.Port, "RCVPRT": "LS",
		"RCVPRN": h.to.System, "CREDAT": h.at.Format("20060102"), "CRETIM": h.at.Format("150405"), "ARCKEY": h.key, "SERIAL": h.at.UTC().Format("20060102150405"),
	}
}
