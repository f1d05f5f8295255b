// Go's own HTTP server, which keeps idle connections for a second and prints each path: upstream ADDRESS:PORT
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	answer := func(response http.ResponseWriter, request *http.Request) {
		fmt.Println(request.URL.Path)
		fmt.Fprintln(response, "ok")
	}
	server := http.Server{Addr: os.Args[1], Handler: http.HandlerFunc(answer), IdleTimeout: time.Second}
	panic(server.ListenAndServe())
}
