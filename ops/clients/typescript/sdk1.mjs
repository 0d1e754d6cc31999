// The steps with @modelcontextprotocol/sdk 1.x.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { answerOf, deadline, main } from './script.mjs';

function transport({ transport, command, url }) {
  if (transport === 'stdio') return new StdioClientTransport({ command: command[0], args: command.slice(1) });
  return transport === 'sse' ? new SSEClientTransport(new URL(url)) : new StreamableHTTPClientTransport(new URL(url));
}

await main(async given => {
  const client = new Client({ name: 'iam-mcp-clients', version: '1.0.0' });
  const through = transport(given);
  // The library keeps the version to itself, but tells the transport.
  let version;
  through.setProtocolVersion = (set => agreed => { version = agreed; set?.call(through, agreed); })(through.setProtocolVersion);
  await client.connect(through);
  const timeout = deadline;
  return {
    // What it sends over Streamable HTTP is a notification, which a stateless server cannot match with a request.
    cancels: given.transport !== 'http',
    version: () => version,
    serverName: () => client.getServerVersion().name,
    tools: async () => (await client.listTools(undefined, { timeout })).tools,
    call: async (name, args, signal) => answerOf(await client.callTool({ name, arguments: args }, undefined, { signal, timeout })),
    prompts: async () => (await client.listPrompts(undefined, { timeout })).prompts.map(prompt => prompt.name),
    prompt: async (name, args) =>
      (await client.getPrompt({ name, arguments: args }, { timeout })).messages.map(message => message.content.text).join(''),
    ping: () => client.ping({ timeout }),
    close: () => client.close(),
  };
});
