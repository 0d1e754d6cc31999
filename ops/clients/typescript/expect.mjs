// What the steps look at answers with.

// A machine under load may need it; a healthy server never does.
export const deadline = 60_000;

export function expect(condition, why) {
  if (!condition) throw new Error(String(typeof why === 'string' ? why : JSON.stringify(why)).slice(0, 600));
}

// What a program's `call` gives back.
export function answerOf(result) {
  const text = result.content.filter(block => block.type === 'text').map(block => block.text).join('');
  return { failed: result.isError === true, text, structured: result.structuredContent };
}

// The structured content of an answer that is no error.
export function fields(answer) {
  expect(!answer.failed && answer.structured, answer);
  return answer.structured;
}

export function ofRole(answer, role) {
  const { jobs } = fields(answer);
  expect(answer.text.includes(role), answer.text);
  expect(jobs.length > 0 && jobs.every(job => job.title.includes(role)), jobs);
}
