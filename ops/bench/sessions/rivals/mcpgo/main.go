// Command server is an MCP server made with mcp-go as its documentation shows it: Streamable HTTP without state on /mcp,
// the SSE transport on /sse and /message. It listens on port 8080.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"log"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

//go:embed jobs.json
var postings []byte

type arguments struct {
	Query    string `json:"query"`
	Location string `json:"location,omitempty"`
	NumPages int    `json:"num_pages,omitempty"`
}

type job struct {
	ID          string `json:"id"`
	Title       string `json:"title"`
	Company     string `json:"company"`
	Location    string `json:"location"`
	Remote      bool   `json:"remote"`
	SalaryMin   int    `json:"salary_min"`
	URL         string `json:"url"`
	PostedAt    string `json:"posted_at"`
	Description string `json:"description"`
}

type result struct {
	Query    string `json:"query"`
	Location string `json:"location"`
	Jobs     []job  `json:"jobs"`
}

func main() {
	var jobs []job
	if err := json.Unmarshal(postings, &jobs); err != nil {
		log.Fatal(err)
	}
	mcpServer := server.NewMCPServer("rival-mcp-go", "1.0.0", server.WithToolCapabilities(false))
	mcpServer.AddTool(
		mcp.NewTool("search_jobs", mcp.WithDescription("Search for jobs"), mcp.WithInputSchema[arguments](), mcp.WithOutputSchema[result]()),
		mcp.NewStructuredToolHandler(func(_ context.Context, _ mcp.CallToolRequest, a arguments) (result, error) {
			return result{Query: a.Query, Location: a.Location, Jobs: jobs}, nil
		}),
	)
	sse := server.NewSSEServer(mcpServer)
	mux := http.NewServeMux()
	mux.Handle("/mcp", server.NewStreamableHTTPServer(mcpServer, server.WithStateLess(true), server.WithDisableStreaming(true)))
	mux.Handle("/sse", sse.SSEHandler())
	mux.Handle("/message", sse.MessageHandler())
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	httpServer := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(httpServer.ListenAndServe())
}
