// Compares what the suite found with what is expected: `node judge.mjs RESULTS REQUIREMENTS EXPECTED`.
//
// RESULTS is the suite's output directory, REQUIREMENTS its list for the revision, EXPECTED a file of ours with a scenario,
// or a scenario:check, a line. Prints a line with the counts, then every surprise, and fails when there is one. The
// suite's own comparison takes a warning for a failure where it is not expected; servers without sessions get one.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const [results, requirements, expectations] = process.argv.slice(2);
const lines = (file) => readFileSync(file, 'utf8').split('\n').map((line) => line.replace(/#.*/, '').trimEnd());

// The section `server:` of the suite's file, one scenario a line; the file needs no more of YAML.
const required = new Set();
let section = '';
for (const line of lines(requirements)) {
  const heading = /^(\w+):/.exec(line);
  if (heading) section = heading[1];
  const item = /^ {2}- (\S+)$/.exec(line);
  if (item && section === 'server') required.add(item[1]);
}

const expected = new Set(lines(expectations).filter(Boolean));
const counts = { SUCCESS: 0, FAILURE: 0, WARNING: 0 };
const failed = new Map();
const ran = new Set();
for (const run of readdirSync(results)) {
  const scenario = /^server-(.+?)-\d{4}-\d\d-\d\dT/.exec(run)?.[1];
  if (!required.has(scenario)) continue;
  ran.add(scenario);
  for (const { id, status, errorMessage } of JSON.parse(readFileSync(join(results, run, 'checks.json'), 'utf8'))) {
    counts[status] = (counts[status] ?? 0) + 1;
    if (status === 'FAILURE') failed.set(`${scenario}:${id}`, errorMessage ?? '');
  }
}

const surprises = [];
for (const [check, why] of failed) {
  if (!expected.has(check) && !expected.has(check.split(':')[0])) surprises.push(`${check} failed: ${why}`);
}
for (const name of expected) {
  const fails = [...failed.keys()].some((check) => check === name || check.startsWith(`${name}:`));
  if (!fails) surprises.push(`${name} passed, and is expected to fail: take it out of ${expectations}`);
}
for (const scenario of required) if (!ran.has(scenario)) surprises.push(`${scenario} did not run`);
if (required.size === 0) surprises.push(`no scenario is required by ${requirements}`);

const warnings = counts.WARNING ? `, ${counts.WARNING} warnings` : '';
console.log(`${ran.size} scenarios: ${counts.SUCCESS} checks passed, ${counts.FAILURE} failed in ${expected.size} expected places${warnings}`);
for (const surprise of surprises) console.log(`    ${surprise}`);
process.exit(surprises.length === 0 ? 0 : 1);
