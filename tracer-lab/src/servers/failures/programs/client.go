// Walkers with Go's net/http: each asks again and again on a connection of its own.
// client PLAN, where PLAN is JSON. Prints a line of JSON for each request that failed.
package main

import (
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

type Loss struct {
	Id    int    `json:"id"`
	Error string `json:"error"`
	Port  *int   `json:"port"`
}

func milliseconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Millisecond))
}

func walk(plan Plan, walker int, losses *json.Encoder, printing *sync.Mutex) {
	time.Sleep(milliseconds(float64(walker * plan.Stagger)))
	patience := milliseconds(float64(plan.Patience))
	dialer := net.Dialer{Timeout: patience}
	keeps := time.Minute
	if plan.Remedy != nil {
		keeps = milliseconds(plan.Remedy.Closes)
	}
	transport := http.Transport{MaxConnsPerHost: 1, IdleConnTimeout: keeps, DialContext: dialer.DialContext}
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	scheme := "http"
	if plan.Tls {
		scheme = "https"
	}
	say := func(id int, what string, port *int) {
		printing.Lock()
		defer printing.Unlock()
		losses.Encode(Loss{id, what, port})
	}
	client := http.Client{Transport: &transport, Timeout: patience}
	for round := 0; round < plan.Rounds; round++ {
		id := plan.First + walker*plan.Rounds + round
		url := fmt.Sprintf("%s://%s/w%d/x%d/%s", scheme, plan.Server, walker, id, plan.Actions[round%len(plan.Actions)])
		var port *int
		sent := false
		trace := httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
			// Without TLS the wire shows what was sent again.
			if plan.Tls && sent {
				say(id, "sent again", port)
			}
			port, sent = &got.Conn.LocalAddr().(*net.TCPAddr).Port, false
		}, WroteRequest: func(wrote httptrace.WroteRequestInfo) { sent = wrote.Err == nil }}
		request, _ := http.NewRequest("GET", url, nil)
		answer, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), &trace)))
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		if err != nil {
			say(id, err.Error(), port)
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
	losses, printing, walkers := json.NewEncoder(os.Stdout), sync.Mutex{}, sync.WaitGroup{}
	for walker := 0; walker < plan.Walkers; walker++ {
		walkers.Add(1)
		go func(walker int) {
			defer walkers.Done()
			walk(plan, walker, losses, &printing)
		}(walker)
	}
	walkers.Wait()
}
