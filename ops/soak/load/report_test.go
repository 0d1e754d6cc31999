package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// grown has memory that grows by so much a minute.
func grown(perMinute int) *report {
	c := &config{duration: 3 * time.Minute, warm: time.Minute, growth: 0.10}
	var samples []sample
	for at := time.Duration(0); at < c.duration; at += time.Second {
		samples = append(samples, sample{at, 100<<20 + int(at.Minutes()*float64(perMinute))})
	}
	r := &report{}
	r.memory(samples, c)
	return r
}

func TestMemoryThatGrowsIsAProblem(t *testing.T) {
	if r := grown(10 << 20); len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "grew") {
		t.Errorf("10 MiB a minute: %v", r.Problems)
	}
	if r := grown(1 << 20); len(r.Problems) != 0 || r.Growth <= 0 {
		t.Errorf("1 MiB a minute: %v, %v", r.Problems, r.Growth)
	}
}

func TestMemoryThatWasNotMeasuredIsAProblem(t *testing.T) {
	r := &report{}
	r.memory(nil, &config{duration: 3 * time.Minute, warm: time.Minute})
	if len(r.Problems) != 1 {
		t.Error(r.Problems)
	}
}

func TestAToolErrorIsMeantOnlyIfTheJobBoardIsNotWell(t *testing.T) {
	for text, meant := range map[string]bool{
		"The RapidAPI plan's limit of JSearch requests is used up for now (HTTP 429).": true,
		"num_jobs must be a whole number from 1 to 20":                                 false,
	} {
		said, _ := json.Marshal(object{"result": object{"isError": true, "content": []object{{"type": "text", "text": text}}}})
		var a answer
		if err := json.Unmarshal(said, &a); err != nil {
			t.Fatal(err)
		}
		if _, err := a.found(); (err == nil) != meant {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAnAnswerIsNoneWithoutAResult(t *testing.T) {
	for _, said := range []string{`{"id":1}`, `{"id":1,"error":{"code":-32603,"message":"no"}}`, `{"id":1,"result":{"content":[]}}`} {
		var a answer
		if err := json.Unmarshal([]byte(said), &a); err != nil {
			t.Fatal(err)
		}
		if what, err := a.found(); err == nil {
			t.Errorf("%s: %s", said, what)
		}
	}
}
