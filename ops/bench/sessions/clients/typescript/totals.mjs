// What is counted, and the lines that tell it.

const COUNTS = ['calls_ok', 'calls_failed', 'calls_skipped', 'ended', 'resumed', 'lost', 'gave_up', 'opens_failed', 'last_event_id_sent'];
// Durations of which all are kept; of more only the counts go on.
const MOST_KEPT = 1_000_000;

const empty = () => ({ ...Object.fromEntries(COUNTS.map(name => [name, 0])), reasons: {} });

function add(to, name, reason) {
  to[name] += 1;
  if (reason) to.reasons[reason] = (to.reasons[reason] ?? 0) + 1;
}

function quantiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = part => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) };
}

const print = line => process.stdout.write(`${JSON.stringify(line)}\n`);

export class Totals {
  #names;
  #all = empty();
  #second = empty();
  #seconds = 0;
  #durations = { call_ms: [], reconnect_ms: [], resumed_ms: [] };

  constructor(client, transport) {
    this.#names = { client, transport };
  }

  add(name) {
    for (const to of [this.#all, this.#second]) add(to, name);
  }

  failed(reason) {
    for (const to of [this.#all, this.#second]) add(to, 'calls_failed', reason);
  }

  took(name, ms) {
    if (this.#durations[name].length < MOST_KEPT) this.#durations[name].push(ms);
  }

  /** The line of a second: what happened in it, and how many sessions are open. */
  report(open) {
    this.#seconds += 1;
    print({ second: this.#seconds, at: Date.now(), ...this.#names, open, ...this.#second });
    this.#second = empty();
  }

  summary(open, sessions) {
    const durations = Object.fromEntries(Object.entries(this.#durations).map(([name, values]) => [name, quantiles(values)]));
    print({ summary: true, at: Date.now(), ...this.#names, sessions, open, ...this.#all, ...durations });
  }
}

/** Few different reasons, so that they can be counted. */
export function reasonOf(error) {
  const message = String(error?.message ?? error);
  const status = message.match(/\(HTTP (\d+)\)/)?.[1] ?? (message.startsWith('Streamable HTTP error') ? error.code : undefined);
  if (status !== undefined) return `HTTP ${status}`;
  for (let cause = error?.cause; cause; cause = cause.cause) if (cause.code) return String(cause.code);
  if (error?.code === -32001) return 'timeout';
  if (typeof error?.code === 'number') return `JSON-RPC ${error.code}`;
  return message.slice(0, 60);
}
