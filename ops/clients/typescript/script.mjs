// The steps that every TypeScript library goes through. python/script.py has the same ones under the same names, and
// says what a program reads and prints.
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { deadline, expect, ofRole } from './expect.mjs';
import { savedSteps } from './saved.mjs';

const concurrent = 10;
// What a person answers who is asked for a role.
const answer = 'glass blower';
const tools = ['search_jobs', 'get_job', 'save_jobs', 'list_saved_jobs', 'remove_saved_jobs'];

// Until the job board (driver/provider.py) says so of a search.
async function until(state, url) {
  const end = Date.now() + deadline;
  for (;;) {
    const now = (await (await fetch(url)).json()).state;
    if (now === state) return;
    expect(Date.now() < end, `the search is ${now}, not ${state}`);
    await sleep(50);
  }
}

// A role that the job board does not answer, and where it tells what became of it.
function slow(given) {
  const token = randomUUID().replaceAll('-', '');
  return { role: `slow ${token}`, state: `${given.provider}/state/${token}` };
}

const script = {
  ...savedSteps,

  async connect(on, given) {
    expect(on.version() === given.version, `negotiated ${on.version()}, not ${given.version}`);
    expect(on.serverName() === 'iam-mcp-server', on.serverName());
  },

  async tools(on) {
    const found = await on.tools();
    expect(found.map(tool => tool.name).join() === tools.join(), found);
    expect(found.every(tool => tool.outputSchema && tool.annotations), found);
    const tool = found[0];
    for (const name of ['role', 'city', 'country', 'platform', 'num_jobs', 'query', 'location', 'num_pages']) {
      expect(name in tool.inputSchema.properties, tool.inputSchema);
    }
    expect(tool.inputSchema.type === 'object' && tool.outputSchema.type === 'object', tool);
    expect(['jobs', 'source'].every(name => tool.outputSchema.required.includes(name)), tool.outputSchema);
  },

  async call(on) {
    const answer = await on.call('search_jobs', { role: 'rust engineer', city: 'Berlin', country: 'Germany' });
    ofRole(answer, 'rust engineer');
    expect(answer.text.includes('Berlin'), answer.text);
  },

  async call_query(on) {
    const given = { query: 'Python developer', location: 'San Francisco, CA', num_pages: 1 };
    ofRole(await on.call('search_jobs', given), 'Python developer');
  },

  async tool_error(on) {
    const answer = await on.call('search_jobs', { role: 'cook', num_jobs: 99 });
    expect(answer.failed && answer.text.includes('num_jobs'), answer.text);
  },

  async protocol_error(on) {
    const answer = await on.call('no_such_tool', {}).catch(error => error);
    expect(answer instanceof Error && answer.code === -32602 && answer.message.includes('no_such_tool'), `${answer}`);
  },

  async prompts(on) {
    const names = await on.prompts();
    expect(['analyze_job_market', 'save_jobs', 'mesh_resumes'].every(name => names.includes(name)), names);
  },

  async prompt(on) {
    const text = await on.prompt('analyze_job_market', { role: 'nurse', city: 'Oslo', country: 'Norway' });
    expect(text.includes('nurse') && text.includes('Oslo'), text);
  },

  ping: on => on.ping(),

  async concurrent(on) {
    const roles = Array.from({ length: concurrent }, (_, number) => `role number ${number} of ${concurrent}`);
    const answers = await Promise.all(roles.map(role => on.call('search_jobs', { role })));
    answers.forEach((answer, number) => ofRole(answer, roles[number]));
  },

  // Of a search through two pages: the second comes only when word of the first has. Of the last page these libraries do
  // not tell where the answer comes with it: they take notifications up a moment later than answers.
  async progress(on, given) {
    const told = [];
    const token = randomUUID().replaceAll('-', '');
    let going;
    const tell = ({ progress, total }) => {
      told.push([progress, total]);
      going ??= fetch(`${given.provider}/go/${token}`);
    };
    const role = `paged ${token}`;
    ofRole(await on.call('search_jobs', { role, num_pages: 2, num_jobs: 20 }, undefined, tell), role);
    await going;
    expect(['[[1,2]]', '[[1,2],[2,2]]'].includes(JSON.stringify(told)), told);
  },

  // A person is asked for the role that a search lacks, where there is a way back.
  async elicitation(on, given) {
    if (given.transport === 'http' && given.version < '2026') return this.unasked(on);
    ofRole(await on.call('search_jobs', { num_jobs: 1 }), answer);
  },

  // Of a client that cannot ask.
  async unasked(on) {
    const answer = await on.call('search_jobs', { num_jobs: 1 });
    expect(answer.failed && answer.text.includes('role is missing'), answer);
  },

  // Whoever gives a call up ends the work for it, and the conversation goes on.
  async cancel(on, given) {
    const { role, state } = slow(given);
    const giveUp = new AbortController();
    const call = on.call('search_jobs', { role }, giveUp.signal).catch(error => error);
    await until('waiting', state);
    giveUp.abort('no longer wanted');
    expect((await call) instanceof Error, 'answered all the same');
    await until('given up', state);
    ofRole(await on.call('search_jobs', { role: 'afterwards' }), 'afterwards');
  },
};

const full = ['connect', 'tools', 'call', 'call_query', 'tool_error', 'protocol_error', 'prompts', 'prompt', 'concurrent',
  'get_job', 'saved_jobs', 'resources', 'completion', 'progress', 'elicitation'];
const short = ['connect', 'tools', 'call'];

function steps(on, given) {
  if (given.script === 'short') return short;
  const more = given.version >= '2026' ? [] : ['ping']; // 2026-07-28 has none
  // Before that there is no stream on /mcp.
  if (given.transport !== 'http' || given.version >= '2026') more.push('subscription');
  return [...full, ...more, ...(on.cancels ? ['cancel'] : [])];
}

// A client that goes while a call runs leaves no work behind.
async function leave(connect, given) {
  if (given.command) given = { ...given, command: [...given.command, 'leave'] };
  const on = await connect(given);
  await check(given, 'unasked', () => script.unasked(on));
  const { role, state } = slow(given);
  const call = on.call('search_jobs', { role }).catch(error => error);
  await until('waiting', state);
  await on.close();
  await call;
  await until('given up', state);
}

// A version that this transport cannot carry: an error, and no waiting for one.
async function refused(connect, given) {
  const on = await connect(given).catch(() => undefined);
  if (!on) return;
  const answer = await on.tools().catch(() => undefined);
  await on.close();
  expect(!answer, 'it was served');
}

async function check(given, name, step) {
  let why;
  let timer;
  try {
    const late = new Promise((_, no) => { timer = setTimeout(() => no(new Error('no end to it')), deadline); });
    await Promise.race([step(), late]);
  } catch (error) {
    why = String(error?.stack ?? error).slice(0, 1500);
  } finally {
    clearTimeout(timer);
  }
  console.log(JSON.stringify({ connection: given.name, check: name, ok: why === undefined, why }));
  return why === undefined;
}

async function goThrough(connect, given) {
  if (given.script === 'refused') return check(given, 'refused', () => refused(connect, given));
  let on;
  const opened = async () => {
    on = await connect(given.script === 'full' ? { ...given, answer } : given);
    await script.connect(on, given);
  };
  if (!(await check(given, 'connect', opened))) return on?.close();
  for (const name of steps(on, given).slice(1)) await check(given, name, () => script[name](on, given));
  await check(given, 'close', () => on.close());
  if (given.script === 'full') await check(given, 'leave', () => leave(connect, given));
}

export async function main(connect) {
  const given = [];
  for await (const line of createInterface({ input: process.stdin })) given.push(JSON.parse(line));
  for (const one of given) await goThrough(connect, one);
  // Nothing may hold the process up now; what does is left to the driver's deadline to tell.
}
