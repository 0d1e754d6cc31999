// The steps with @modelcontextprotocol/client 2.x, in its three modes.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { answerOf, deadline } from './expect.mjs';
import { Updates, referenceTo } from './saved.mjs';
import { main } from './script.mjs';

function transport({ transport, command, url }) {
  if (transport === 'stdio') return new StdioClientTransport({ command: command[0], args: command.slice(1) });
  return transport === 'sse' ? new SSEClientTransport(new URL(url)) : new StreamableHTTPClientTransport(new URL(url));
}

await main(async given => {
  const mode = given.era === 'pinned' ? { pin: '2026-07-28' } : given.era;
  const capabilities = given.answer ? { elicitation: { form: {} } } : {};
  const client = new Client({ name: 'iam-mcp-clients', version: '1.0.0' }, { capabilities, versionNegotiation: { mode } });
  if (given.answer) {
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { role: given.answer } }));
  }
  const updates = new Updates();
  client.setNotificationHandler('notifications/resources/updated', ({ params }) => updates.hear(params.uri));
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
    call: async (name, args, signal, onprogress) =>
      answerOf(await client.callTool({ name, arguments: args }, { signal, timeout, onprogress })),
    prompts: async () => (await client.listPrompts(undefined, { timeout })).prompts.map(prompt => prompt.name),
    prompt: async (name, args) =>
      (await client.getPrompt({ name, arguments: args }, { timeout })).messages.map(message => message.content.text).join(''),
    ping: () => client.ping({ timeout }),
    resources: async () => (await client.listResources(undefined, { timeout })).resources.map(resource => resource.uri),
    templates: async () =>
      (await client.listResourceTemplates(undefined, { timeout })).resourceTemplates.map(template => template.uriTemplate),
    read: async uri => (await client.readResource({ uri }, { timeout })).contents[0].text,
    subscribe: async uri => {
      if (given.version >= '2026') {
        const subscription = await client.listen({ resourceSubscriptions: [uri] }, { timeout });
        return { update: updates.of(uri), close: () => subscription.close() };
      }
      await client.subscribeResource({ uri }, { timeout });
      return { update: updates.of(uri), close: () => client.unsubscribeResource({ uri }, { timeout }) };
    },
    complete: async (of, name, value) =>
      (await client.complete({ ref: referenceTo(of), argument: { name, value } }, { timeout })).completion.values,
    close: () => client.close(),
  };
});
