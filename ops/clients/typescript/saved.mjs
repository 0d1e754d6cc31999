// The steps about single postings, saved ones, and resources; python/saved.py has the same ones. Each saves its own jobs,
// and removes them: others save at the same time.
import { randomUUID } from 'node:crypto';
import { expect, fields, ofRole } from './expect.mjs';

const cards = 'ui://iam-mcp-server/job-cards.html';
const template = 'jobs://saved/{job_id}';

// The resources whose updates a library has told of.
export class Updates {
  #heard = new Set();
  #waiting = new Map();

  hear(uri) {
    this.#heard.add(uri);
    this.#waiting.get(uri)?.();
  }

  of(uri) {
    return new Promise(resolve => (this.#heard.has(uri) ? resolve() : this.#waiting.set(uri, resolve)));
  }
}

// One that nobody else saves; the URI of its resource has to be encoded.
function posting(title) {
  return {
    job_id: `clients/${randomUUID().replaceAll('-', '')}`, title, company: 'Example Company', location: 'Berlin, Germany',
    description: `Work as ${title}.`, apply_link: 'https://example.com/apply', remote: false,
  };
}

const uriOf = job => `jobs://saved/${encodeURIComponent(job.job_id)}`;

async function save(on, job) {
  const { saved } = fields(await on.call('save_jobs', { jobs: [job] }));
  expect(saved.length === 1 && saved[0].job_id === job.job_id, saved);
  return saved[0];
}

async function remove(on, ...ids) {
  const { removed } = fields(await on.call('remove_saved_jobs', { job_ids: ids }));
  expect(removed.join() === ids.join(), removed);
}

async function listed(on) {
  return new Map(fields(await on.call('list_saved_jobs', {})).jobs.map(job => [job.job_id, job]));
}

export const savedSteps = {
  async get_job(on) {
    const found = await on.call('search_jobs', { role: 'rust engineer', slice_job_description: 4 });
    ofRole(found, 'rust engineer');
    const first = fields(found).jobs[0];
    const { job } = fields(await on.call('get_job', { job_id: first.job_id }));
    expect(job.job_id === first.job_id && job.title === first.title, job);
    expect(job.description === 'Work as rust engineer.', job);
    const unknown = await on.call('get_job', { job_id: 'no-such-job' });
    expect(unknown.failed && unknown.text.includes('job_id'), unknown);
  },

  // By id and given whole, changed, shown, and removed.
  async saved_jobs(on) {
    const role = `keeper ${randomUUID().replaceAll('-', '')}`;
    const found = await on.call('search_jobs', { role, num_jobs: 1 });
    ofRole(found, role);
    const byId = fields(found).jobs[0].job_id;
    const given = posting('night watchman');
    const { saved } = fields(await on.call('save_jobs', { job_ids: [byId], jobs: [given] }));
    const ids = saved.filter(one => one.outcome === 'added').map(one => one.job_id);
    expect(ids.sort().join() === [byId, given.job_id].sort().join(), saved);
    expect((await save(on, { ...given, title: 'day watchman' })).outcome === 'updated', 'saved again');
    let all = await listed(on);
    expect(all.get(byId)?.title.includes(role) && all.get(given.job_id)?.title === 'day watchman', [...all.values()]);
    const { job } = fields(await on.call('get_job', { job_id: given.job_id }));
    expect(job.description === given.description, job);
    await remove(on, byId, given.job_id);
    all = await listed(on);
    expect(!all.has(byId) && !all.has(given.job_id), 'removed, and still there');
  },

  async resources(on) {
    const job = posting('lighthouse keeper');
    const { uri } = await save(on, job);
    expect(uri === uriOf(job), uri);
    const uris = await on.resources();
    expect(uris.includes(uri) && uris.includes(cards), uris);
    expect((await on.templates()).join() === template, 'templates');
    const read = JSON.parse(await on.read(uri));
    expect(read.saved_at && Object.keys(job).every(name => read.job[name] === job[name]), read);
    expect((await on.read(cards)).includes('<html'), 'no page of cards');
    await remove(on, job.job_id);
    const gone = await on.read(uri).catch(error => error);
    expect(gone instanceof Error && gone.message.includes(uri), `${gone}`);
  },

  // Word comes of a job that changes. In the newer era it need not be saved yet.
  async subscription(on, given) {
    const job = posting('pastry cook');
    const uri = uriOf(job);
    if (given.version < '2026') await save(on, job);
    const subscription = await on.subscribe(uri);
    await save(on, { ...job, title: 'head pastry cook' });
    await subscription.update;
    expect((await on.read(uri)).includes('head pastry cook'), 'an old text');
    await remove(on, job.job_id);
    // Over stdio it stays open: the server must end all the same when its stdin does.
    if (given.transport !== 'stdio') await subscription.close();
  },

  async completion(on) {
    const countries = await on.complete('analyze_job_market', 'country', 'germ');
    expect(countries.join() === 'Germany', countries);
    const job = posting('glazier');
    await save(on, job);
    const ids = await on.complete(template, 'job_id', job.job_id.slice(0, -4));
    expect(ids.join() === job.job_id, ids);
    await remove(on, job.job_id);
  },
};

// The reference to a prompt, or to a resource template, of `completion/complete`.
export function referenceTo(of) {
  return of.includes('://') ? { type: 'ref/resource', uri: of } : { type: 'ref/prompt', name: of };
}
