// The steps with @modelcontextprotocol/client 2.x, in its three modes.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { answerOf, deadline, main } from './script.mjs';

function transport({ transport, command, url }) {
  if (transport === 'stdio') return new StdioClientTransport({ command: command[0], args: command.slice(1) });
  return transport === 'sse' ? new SSEClientTransport(new URL(url)) : new StreamableHTTPClientTransport(new URL(url));
}

await main(async given => {
  const mode = given.era === 'pinned' ? { pin: '2026-07-28' } : given.era;
  const client = new Client({ name: 'iam-mcp-clients', version: '1.0.0' }, { versionNegotiation: { mode } });
  const timeout = deadline;
  try {
    await client.connect(transport(given), { timeout });
  } catch (error) {
    await client.close();
    throw error;
  }
  return {
    // For the older era it sends a notification, which a stateless server cannot match with a request; for the newer one
    // it closes the answer's stream.
    cancels: given.transport !== 'http' || given.version >= '2026',
    version: () => client.getNegotiatedProtocolVersion(),
    serverName: () => client.getServerVersion().name,
    tools: async () => (await client.listTools(undefined, { timeout })).tools,
    call: async (name, args, signal) => answerOf(await client.callTool({ name, arguments: args }, { signal, timeout })),
    prompts: async () => (await client.listPrompts(undefined, { timeout })).prompts.map(prompt => prompt.name),
    prompt: async (name, args) =>
      (await client.getPrompt({ name, arguments: args }, { timeout })).messages.map(message => message.content.text).join(''),
    ping: () => client.ping({ timeout }),
    close: () => client.close(),
  };
});
