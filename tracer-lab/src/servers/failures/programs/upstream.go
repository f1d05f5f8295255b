// Go's own HTTP server, which keeps idle connections for a second and prints each path:
// upstream ADDRESS:PORT [DIRECTORY], where the directory has a certificate
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
	if len(os.Args) > 2 {
		panic(server.ListenAndServeTLS(os.Args[2]+"/cert.pem", os.Args[2]+"/cert.pem.key"))
	}
	panic(server.ListenAndServe())
}
