// Holds N sessions with the TypeScript SDK, calls search_jobs on each at a pace, and counts. It does nothing about an
// error but count it: what goes on after one goes on by the SDK alone. Usage: ../sessions typescript --help
import { appendFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport, SseError } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Totals, reasonOf } from './totals.mjs';

const { values: given } = parseArgs({
  options: {
    url: { type: 'string' },
    sessions: { type: 'string', default: '10' },
    every: { type: 'string', default: '1' },
    transport: { type: 'string', default: 'sse' },
    seconds: { type: 'string', default: '60' },
    timeout: { type: 'string', default: '5' },
    events: { type: 'string', default: '' },
  },
});

function number(name, least, most) {
  const value = Number(given[name]);
  if (!(value >= least && value <= most)) throw new Error(`--${name} takes a number from ${least} to ${most}, not '${given[name]}'`);
  return value;
}

const options = {
  url: new URL(given.url ?? ''),
  sessions: number('sessions', 1, 2000),
  every: number('every', 0.05, 3600) * 1000,
  seconds: number('seconds', 1, 86400),
  timeout: number('timeout', 0.1, 600) * 1000,
};
if (!['sse', 'http'].includes(given.transport)) throw new Error(`--transport is sse or http, not '${given.transport}'`);

// A session that did not go on for so long after its stream ended is lost; it has made a call by then.
const lostAfter = 5000 + options.every;
// Sessions that are being opened at a time, and the pause after a failed attempt.
const opening = 20;
const openAgain = 300;
// Calls of a session that wait at a time: they are made at their pace, also when one before hangs.
const mostWaiting = Math.ceil(options.timeout / options.every) + 1;

const totals = new Totals('typescript', given.transport);
let stopping = false;

function note(session, event, more = {}) {
  if (given.events) appendFileSync(given.events, `${JSON.stringify({ at: Date.now(), session, event, ...more })}\n`);
}

class Session {
  constructor(number) {
    this.number = number;
    this.waiting = 0;
    this.open = false; // its stream is, or for http: it was opened
    this.endings = 0; // how often its stream ended
    this.endedAt = undefined; // set from the end of a stream until a call is answered again
  }

  // Runs once: from here on the SDK alone reconnects.
  async connect() {
    const client = new Client({ name: 'iam-mcp-bench', version: '1.0.0' });
    client.onerror = error => this.failed(error);
    const transport = given.transport === 'sse'
      ? new SSEClientTransport(new URL('/sse', options.url), { eventSourceInit: { fetch: this.watched } })
      : new StreamableHTTPClientTransport(new URL('/mcp', options.url));
    try {
      await client.connect(transport);
    } catch (error) {
      await client.close().catch(() => {}); // else its EventSource goes on trying, beside the next one
      throw error;
    }
    this.client = client;
    this.open = true;
  }

  // The SDK's own fetch, watched: there is no other way to see that a stream was opened again.
  watched = async (url, init) => {
    const response = await fetch(url, init);
    if (this.client && response.ok) {
      const lastEventId = new Headers(init?.headers).get('last-event-id');
      if (lastEventId !== null) totals.add('last_event_id_sent');
      totals.took('reconnect_ms', Date.now() - this.endedAt);
      this.open = true;
      note(this.number, 'reconnected', { last_event_id: lastEventId });
    }
    return response;
  };

  // Of a POST that failed the call tells; here it is about streams.
  failed(error) {
    if (stopping || !this.client || !(error instanceof SseError)) return;
    if (this.open) {
      this.open = false;
      this.endings += 1;
      if (this.endedAt === undefined) this.endedAt = Date.now();
      totals.add('ended');
      note(this.number, 'ended', { why: error.message });
      const ending = this.endings;
      setTimeout(() => {
        if (stopping || this.endings !== ending || this.endedAt === undefined) return;
        totals.add('lost');
        note(this.number, 'lost');
      }, lostAfter);
    }
    if (error.code !== undefined) {
      // The EventSource takes any answer but 200 as final, and never tries again.
      totals.add('gave_up');
      note(this.number, 'gave up', { why: error.message });
    }
  }

  async call() {
    if (this.waiting >= mostWaiting) return totals.add('calls_skipped');
    this.waiting += 1;
    const started = Date.now();
    const { endings, open } = this;
    try {
      const result = await this.client.callTool(
        { name: 'search_jobs', arguments: { query: 'engineer', num_pages: 1 } }, undefined, { timeout: options.timeout });
      if (result.isError) throw new Error('tool error');
      totals.add('calls_ok');
      totals.took('call_ms', Date.now() - started);
      if (this.endedAt !== undefined && open && endings === this.endings) this.wentOn();
    } catch (error) {
      if (stopping) return;
      let reason = reasonOf(error);
      if (!open) reason += ' while its stream was down';
      else if (endings !== this.endings) reason += ', its stream ended';
      totals.failed(reason);
      note(this.number, 'failed', { reason, ms: Date.now() - started, why: String(error?.message ?? error) });
    } finally {
      this.waiting -= 1;
    }
  }

  wentOn() {
    const ms = Date.now() - this.endedAt;
    this.endedAt = undefined;
    if (ms > lostAfter) return; // it was counted as lost
    totals.add('resumed');
    totals.took('resumed_ms', ms);
    note(this.number, 'resumed', { ms });
  }

  async run() {
    while (!stopping && !this.client) {
      try {
        await this.connect();
      } catch (error) {
        totals.add('opens_failed');
        note(this.number, 'not opened', { why: String(error?.message ?? error) });
        await new Promise(resolve => setTimeout(resolve, openAgain));
      }
    }
    if (stopping) return;
    note(this.number, 'opened');
    // Not all at the same moment.
    setTimeout(() => {
      this.timer = setInterval(() => void this.call(), options.every);
      void this.call();
    }, Math.random() * options.every);
  }
}

const sessions = Array.from({ length: options.sessions }, (_, i) => new Session(i));
const live = () => sessions.filter(session => session.open).length;
const reports = setInterval(() => totals.report(live()), 1000);

let stop;
const stopped = new Promise(resolve => { stop = resolve; });
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, stop);
setTimeout(stop, options.seconds * 1000);
void (async () => {
  for (let i = 0; i < sessions.length && !stopping; i += opening) {
    await Promise.all(sessions.slice(i, i + opening).map(session => session.run()));
  }
})();

await stopped;
stopping = true;
clearInterval(reports);
const open = live();
for (const session of sessions) {
  clearInterval(session.timer);
  void session.client?.close().catch(() => {});
}
totals.summary(open, options.sessions);
process.exit(0); // what still waits for an answer need not hold us up
