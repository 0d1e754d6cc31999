// The steps with @modelcontextprotocol/sdk 1.x.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema, ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { answerOf, deadline } from './expect.mjs';
import { Updates, referenceTo } from './saved.mjs';
import { main } from './script.mjs';

function transport({ transport, command, url }) {
  if (transport === 'stdio') return new StdioClientTransport({ command: command[0], args: command.slice(1) });
  return transport === 'sse' ? new SSEClientTransport(new URL(url)) : new StreamableHTTPClientTransport(new URL(url));
}

await main(async given => {
  const capabilities = given.answer ? { elicitation: {} } : {};
  const client = new Client({ name: 'iam-mcp-clients', version: '1.0.0' }, { capabilities });
  if (given.answer) {
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { role: given.answer } }));
  }
  const updates = new Updates();
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => updates.hear(params.uri));
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
    call: async (name, args, signal, onprogress) =>
      answerOf(await client.callTool({ name, arguments: args }, undefined, { signal, timeout, onprogress })),
    prompts: async () => (await client.listPrompts(undefined, { timeout })).prompts.map(prompt => prompt.name),
    prompt: async (name, args) =>
      (await client.getPrompt({ name, arguments: args }, { timeout })).messages.map(message => message.content.text).join(''),
    ping: () => client.ping({ timeout }),
    resources: async () => (await client.listResources(undefined, { timeout })).resources.map(resource => resource.uri),
    templates: async () =>
      (await client.listResourceTemplates(undefined, { timeout })).resourceTemplates.map(template => template.uriTemplate),
    read: async uri => (await client.readResource({ uri }, { timeout })).contents[0].text,
    subscribe: async uri => {
      await client.subscribeResource({ uri }, { timeout });
      return { update: updates.of(uri), close: () => client.unsubscribeResource({ uri }, { timeout }) };
    },
    complete: async (of, name, value) =>
      (await client.complete({ ref: referenceTo(of), argument: { name, value } }, { timeout })).completion.values,
    close: () => client.close(),
  };
});
