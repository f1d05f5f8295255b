// Walkers with Go's net/http: each asks again and again on a connection of its own.
// client PLAN, where PLAN is JSON. Prints a line of JSON for each request that failed,
// and behind TLS for each that was sent.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type Plan struct {
	Server            string
	Tls               bool
	Walkers, Rounds   int
	From, To          float64
	Actions           []string
	Patience, Stagger int
	First             int
	Remedy            *struct{ Closes float64 }
}

type Line struct {
	Id    int    `json:"id"`
	Port  *int   `json:"port"`
	Error string `json:"error,omitempty"`
	Sent  bool   `json:"sent"`
}

// A connection that counts what is too long for a last word: Go says that it wrote a request before it does.
type counted struct {
	net.Conn
	requests atomic.Int32
}

func (connection *counted) Write(bytes []byte) (int, error) {
	written, err := connection.Conn.Write(bytes)
	if err == nil && written > lastWord {
		connection.requests.Add(1)
	}
	return written, err
}

const lastWord = 40

func milliseconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Millisecond))
}

func walk(plan Plan, walker int, lines *json.Encoder, printing *sync.Mutex) {
	time.Sleep(milliseconds(float64(walker * plan.Stagger)))
	patience := milliseconds(float64(plan.Patience))
	dialer := net.Dialer{Timeout: patience}
	dial := func(within context.Context, network, address string) (net.Conn, error) {
		connection, err := dialer.DialContext(within, network, address)
		return &counted{Conn: connection}, err
	}
	keeps := time.Minute
	if plan.Remedy != nil {
		keeps = milliseconds(plan.Remedy.Closes)
	}
	transport := http.Transport{MaxConnsPerHost: 1, IdleConnTimeout: keeps, DialContext: dial}
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	scheme := "http"
	if plan.Tls {
		scheme = "https"
	}
	say := func(line Line) {
		printing.Lock()
		defer printing.Unlock()
		lines.Encode(line)
	}
	client := http.Client{Transport: &transport, Timeout: patience}
	for round := 0; round < plan.Rounds; round++ {
		id := plan.First + walker*plan.Rounds + round
		url := fmt.Sprintf("%s://%s/w%d/x%d/%s", scheme, plan.Server, walker, id, plan.Actions[round%len(plan.Actions)])
		var port *int
		// What went on each connection that it tried; without TLS the wire shows it.
		var tried *counted
		before := int32(0)
		note := func() {
			if tried != nil && tried.requests.Load() > before {
				say(Line{Id: id, Port: port, Sent: true})
			}
		}
		trace := httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
			note()
			port = &got.Conn.LocalAddr().(*net.TCPAddr).Port
			if plan.Tls {
				tried = got.Conn.(*tls.Conn).NetConn().(*counted)
				before = tried.requests.Load()
			}
		}}
		request, _ := http.NewRequest("GET", url, nil)
		answer, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), &trace)))
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		note()
		if err != nil {
			say(Line{Id: id, Port: port, Error: err.Error()})
		}
		time.Sleep(milliseconds(plan.From + rand.Float64()*(plan.To-plan.From)))
	}
	transport.CloseIdleConnections()
}

func main() {
	var plan Plan
	if err := json.Unmarshal([]byte(os.Args[1]), &plan); err != nil {
		panic(err)
	}
	lines, printing, walkers := json.NewEncoder(os.Stdout), sync.Mutex{}, sync.WaitGroup{}
	for walker := 0; walker < plan.Walkers; walker++ {
		walkers.Add(1)
		go func(walker int) {
			defer walkers.Done()
			walk(plan, walker, lines, &printing)
		}(walker)
	}
	walkers.Wait()
}
