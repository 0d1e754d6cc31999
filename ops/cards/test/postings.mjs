// What the job board answers in these tests.

const MARKUP = '<img src="http://evil.example/x.png" onerror="document.title=\'owned\'">';

/** Everything that a posting could try, in every field. */
export const HOSTILE = {
  title: `${MARKUP}<script>document.title="owned"</script> Engineer`,
  company: `</h2><style>body{display:none}</style>${MARKUP}`,
  description: `{{style}} <a href="javascript:alert(1)">click</a> ${MARKUP} <iframe src="//evil.example"></iframe>`,
  link: 'https://jobs.example/apply?a=1&b=%3Cscript%3E"onmouseover="x',
};

const hostile = {
  job_id: "hostile",
  job_title: HOSTILE.title,
  employer_name: HOSTILE.company,
  job_city: MARKUP,
  job_description: HOSTILE.description,
  job_apply_link: HOSTILE.link,
  job_employment_type: MARKUP,
  job_publisher: MARKUP,
  job_posted_at_datetime_utc: '"><b>2026-',
};

const plain = {
  job_id: "plain",
  job_title: "Data engineer",
  employer_name: "Example GmbH",
  job_city: "Berlin",
  job_country: "DE",
  job_description: `First line.\nSecond line. ${"Builds pipelines that people can trust. ".repeat(20)}The end.`,
  job_apply_link: "https://jobs.example/data-engineer",
  job_employment_type: "FULLTIME",
  job_is_remote: true,
  job_min_salary: 70000,
  job_max_salary: 90000,
  job_salary_currency: "EUR",
  job_salary_period: "YEAR",
  job_publisher: "LinkedIn",
  job_posted_at_datetime_utc: "2026-10-05T08:00:00.000Z",
};

export function answer(query) {
  if (query.includes("hostile")) return { data: [hostile, plain] };
  if (query.includes("nothing")) return { data: [] };
  if (query.includes("refused")) return { status: 403 };
  return { data: [plain] };
}

/** A job as the server would never answer it, to see what the page does by itself. */
export const jobWithLink = (apply_link) => ({
  isError: false,
  content: [{ type: "text", text: "1 job" }],
  structuredContent: {
    source: "test",
    jobs: [{ job_id: "1", title: "Engineer", company: "C", location: "L", description: "D", apply_link, remote: false }],
  },
});
