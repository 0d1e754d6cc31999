package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"strconv"
	"time"
)

// errTold is the answer to a call that was in flight when the drain's deadline came: an error whose data is {"retry": true}.
var errTold = errors.New("told to send again")

// errEnded says that no answer came before the stream's end. Without words of its own: what the error says is counted.
var errEnded = errors.New("")

// raceWindow is how soon after a refused POST the stream must be seen to end at its deadline for the two to have crossed.
const raceWindow = 250 * time.Millisecond

// call sends a request of the session and waits for the answer on its stream.
func (s *session) call(method, params string) (answer, error) {
	s.calls++
	id := strconv.Itoa(s.calls)
	ctx, cancel := context.WithTimeout(context.Background(), s.config.timeout)
	defer cancel()
	posted, endpoint := make(chan error, 1), s.stream.endpoint
	go func() {
		posted <- s.post(ctx, endpoint, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, id, method, params))
	}()
	waiting := posted
	for {
		select {
		case a := <-s.stream.answers:
			if string(a.ID) != id {
				continue // of a call before, that timed out
			}
			if err := a.failure(); err != nil || waiting == nil {
				return a, err
			}
			// Waited for, or the cancel above would cost the connection.
			return a, s.refusal(<-posted)
		case err := <-waiting:
			waiting = nil
			if err != nil {
				return answer{}, s.refusal(err)
			}
		case <-s.stream.ended:
			a, err := s.lastWords(id)
			if waiting != nil && errors.Is(err, errEnded) && s.stream.deadline && refused(<-waiting) {
				return a, errTold // it crossed the end on its way
			}
			return a, err
		case <-ctx.Done():
			return answer{}, errors.New("timeout")
		}
	}
}

// refusal is what the failure of a POST means. One with a status may have crossed the end of the stream at its deadline.
func (s *session) refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case refused(err) && s.stream.endsWithin(raceWindow) && s.stream.deadline:
		return errTold
	default:
		return errors.New("post: " + reason(err))
	}
}

// lastWords looks through what came before the stream ended: its end and an answer may be ready at once.
func (s *session) lastWords(id string) (answer, error) {
	for {
		select {
		case a := <-s.stream.answers:
			if string(a.ID) == id {
				return a, a.failure()
			}
		default:
			return answer{}, fmt.Errorf("stream %s%w", s.stream.why, errEnded)
		}
	}
}

// refused says whether a POST was answered with a status that is not 2xx.
func refused(err error) bool {
	var status statusError
	return errors.As(err, &status)
}

// failure of an answer that is an error.
func (a answer) failure() error {
	switch {
	case a.Error == nil:
		return nil
	case a.Error.Data.Retry:
		return errTold
	default:
		return fmt.Errorf("JSON-RPC error %d", a.Error.Code)
	}
}

// post sends one message of the session.
func (s *session) post(ctx context.Context, endpoint, body string) error {
	client := s.kept
	if rand.Float64() < s.config.sseFresh {
		client = s.fresh
	}
	request, err := s.config.request(ctx, http.MethodPost, endpoint, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	if response.StatusCode/100 != 2 {
		return statusError(response.StatusCode)
	}
	return nil
}

// good says whether a result is what the tool should answer.
func (c *config) good(result []byte) bool {
	return !bytes.Contains(result, []byte(`"isError":true`)) && bytes.Contains(result, []byte(c.expect))
}
