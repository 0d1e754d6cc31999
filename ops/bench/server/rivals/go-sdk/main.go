// Command server is an MCP server made with the official Go SDK as its documentation shows it: Streamable HTTP without
// state on /mcp, the SSE transport on /sse. It listens on 127.0.0.1:PORT, and answers what stands in the file ANSWER.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type arguments struct {
	Query    string `json:"query"`
	Location string `json:"location,omitempty"`
	NumPages int    `json:"num_pages,omitempty"`
}

func main() {
	file, err := os.ReadFile(os.Getenv("ANSWER"))
	if err != nil {
		log.Fatal(err)
	}
	var answer struct {
		Content           []struct{ Text string } `json:"content"`
		StructuredContent map[string]any          `json:"structuredContent"`
	}
	if err := json.Unmarshal(file, &answer); err != nil {
		log.Fatal(err)
	}
	mcpServer := mcp.NewServer(&mcp.Implementation{Name: "rival-go-sdk", Version: "1.0.0"}, nil)
	mcp.AddTool(mcpServer, &mcp.Tool{Name: "search_jobs", Description: "Search for jobs"},
		func(context.Context, *mcp.CallToolRequest, arguments) (*mcp.CallToolResult, map[string]any, error) {
			content := []mcp.Content{&mcp.TextContent{Text: answer.Content[0].Text}}
			return &mcp.CallToolResult{Content: content}, answer.StructuredContent, nil
		})
	serve := func(*http.Request) *mcp.Server { return mcpServer }
	mux := http.NewServeMux()
	mux.Handle("/mcp", mcp.NewStreamableHTTPHandler(serve, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}))
	mux.Handle("/sse", mcp.NewSSEHandler(serve, nil))
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	httpServer := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(httpServer.ListenAndServe())
}
