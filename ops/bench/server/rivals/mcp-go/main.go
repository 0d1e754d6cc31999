// Command server is an MCP server made with mcp-go as its documentation shows it: Streamable HTTP without state on /mcp,
// the SSE transport on /sse and /message. It listens on 127.0.0.1:PORT, and answers what stands in the file ANSWER.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

type arguments struct {
	Query    string `json:"query"`
	Location string `json:"location,omitempty"`
}

func main() {
	file, err := os.ReadFile(os.Getenv("ANSWER"))
	if err != nil {
		log.Fatal(err)
	}
	var answer struct {
		Content           []struct{ Text string } `json:"content"`
		StructuredContent any                     `json:"structuredContent"`
	}
	if err := json.Unmarshal(file, &answer); err != nil {
		log.Fatal(err)
	}
	mcpServer := server.NewMCPServer("rival-mcp-go", "1.0.0", server.WithToolCapabilities(false))
	mcpServer.AddTool(
		mcp.NewTool("search_jobs", mcp.WithDescription("Search for jobs"), mcp.WithInputSchema[arguments]()),
		mcp.NewTypedToolHandler(func(context.Context, mcp.CallToolRequest, arguments) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultStructured(answer.StructuredContent, answer.Content[0].Text), nil
		}),
	)
	sse := server.NewSSEServer(mcpServer)
	mux := http.NewServeMux()
	mux.Handle("/mcp", server.NewStreamableHTTPServer(mcpServer, server.WithStateLess(true), server.WithDisableStreaming(true)))
	mux.Handle("/sse", sse.SSEHandler())
	mux.Handle("/message", sse.MessageHandler())
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	httpServer := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(httpServer.ListenAndServe())
}
