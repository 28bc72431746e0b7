// The page's behaviour: lists and forms of customers, products and invoices, and who answered.
//
// Plain browser JavaScript, no build step. Everything a user typed is shown as text, never as HTML.

const REFRESH_MS = 2000;
const TIMEOUT_MS = 8000;
const PAGE = 50;
const TRAIL = 16;

/** One section of the page: its path, how to show a document, how to read its form. */
const sections = {
  customers: {
    path: '/Customers',
    one: 'customer',
    show: (c) => [['name', c.name], ['line', c.address], c.greeting && ['greeting', c.greeting]],
  },
  products: {
    path: '/Products',
    one: 'product',
    show: (p) => [['name', p.name]],
  },
  invoices: {
    path: '/Invoices',
    one: 'invoice',
    show: (i) => [
      ['name', `${i.quantity} × ${nameOf('products', i.productId)}`],
      ['line', `for ${nameOf('customers', i.customerId)}, ${new Date(i.issuedAt).toLocaleString()}`],
    ],
  },
};

for (const [id, section] of Object.entries(sections)) {
  const root = document.getElementById(id);
  const find = (selector) => root.querySelector(selector);
  Object.assign(section, {
    id, root, documents: null, next: null, older: 0, trail: [], names: new Map(), busy: false,
    form: find('form'), notice: find('.notice'), list: find('.list'), more: find('.more'),
    count: find('.count'), answered: find('.answered'), trailBox: find('.trail'),
  });
  section.form.addEventListener('submit', (event) => { event.preventDefault(); create(section); });
  section.more.addEventListener('click', () => loadOlder(section));
}
Object.values(sections).forEach(draw);

/** Asks the gateway; remembers who answered, throws an error with a message for people. */
async function ask(section, path, options = {}) {
  const started = performance.now();
  let answer;
  try {
    answer = await fetch(path, { ...options, cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    const why = error.name === 'TimeoutError' ? `no answer within ${TIMEOUT_MS / 1000} s` : 'the gateway cannot be reached';
    note(section, { failed: why });
    throw new Error(why);
  }
  const body = await answer.json().catch(() => null);
  const instance = answer.headers.get('x-instance') ?? 'unknown';
  const version = answer.headers.get('x-version') ?? '?';
  const ms = Math.round(performance.now() - started);
  note(section, answer.status < 500 ? { instance, version, ms } : { failed: `${answer.status} from ${instance}` });
  if (!answer.ok) {
    const error = new Error([body?.error ?? `answer ${answer.status}`, body?.reason].filter(Boolean).join(': '));
    error.fields = body?.fields ?? {};
    throw error;
  }
  return { body, headers: answer.headers };
}

/** Adds one answer to the section's trail. */
function note(section, answer) {
  section.trail = [...section.trail, answer].slice(-TRAIL);
  const line = section.answered;
  line.textContent = '';
  if (answer.failed) {
    line.append('no answer: ', answer.failed);
  } else {
    const who = document.createElement('b');
    who.textContent = answer.instance;
    line.append('answered by ', who, ` · version ${answer.version} · ${answer.ms} ms`);
  }
  section.trailBox.replaceChildren(...section.trail.map(({ failed, instance, version }) => {
    const box = document.createElement('i');
    box.title = failed ?? `${instance}, version ${version}`;
    if (failed) box.className = 'failed';
    else box.style.background = colour(instance);
    return box;
  }));
}

/** The same colour for the same instance, on every page and after every reload. */
function colour(text) {
  let hash = 2166136261;
  for (const char of text) hash = Math.imul(hash ^ char.codePointAt(0), 16777619) >>> 0;
  return `hsl(${(hash % 24) * 15} 62% ${42 + (hash >> 8) % 3 * 9}%)`;
}

/** Reads the newest page again; older ones that were opened stay. */
async function load(section) {
  if (section.busy) return;
  section.busy = true;
  try {
    const { body, headers } = await ask(section, `${section.path}?limit=${PAGE}`);
    const known = new Set(body.map(({ id }) => id));
    const opened = section.older ? section.documents.filter(({ id }) => !known.has(id)) : [];
    section.documents = [...body, ...opened];
    section.total = Number(headers.get('x-total-count') ?? body.length);
    if (!section.older) section.next = nextPage(headers);
    section.failure = null;
  } catch (error) {
    section.failure = error.message;
  }
  section.busy = false;
  draw(section);
}

async function loadOlder(section) {
  section.more.disabled = true;
  try {
    const { body, headers } = await ask(section, section.next);
    section.documents.push(...body);
    section.next = nextPage(headers);
    section.older += 1;
  } catch (error) {
    tell(section, error.message, true);
  }
  section.more.disabled = false;
  draw(section);
}

const nextPage = (headers) => headers.get('link')?.match(/<([^>]+)>; rel="next"/)?.[1] ?? null;

async function create(section) {
  const button = section.form.querySelector('button');
  const fields = Object.fromEntries(new FormData(section.form));
  if ('quantity' in fields) fields.quantity = fields.quantity === '' ? null : Number(fields.quantity);
  const label = button.textContent;
  button.disabled = true;
  button.textContent = 'Saving …';
  markWrong(section, {});
  try {
    await ask(section, section.path, {
      method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify(fields),
    });
    tell(section, `The ${section.one} is saved.`, false);
    for (const input of section.form.querySelectorAll('input')) input.value = input.defaultValue;
    section.form.querySelector('input, select').focus({ preventScroll: true });
    await load(section);
  } catch (error) {
    const named = Object.keys(error.fields ?? {}).length > 0;
    markWrong(section, error.fields ?? {});
    tell(section, named ? '' : `Not saved: ${error.message}`, true);
  }
  button.disabled = false;
  button.textContent = label;
}

function markWrong(section, fields) {
  for (const input of section.form.querySelectorAll('input, select')) {
    const problem = fields[input.name];
    input.setAttribute('aria-invalid', String(Boolean(problem)));
    const line = input.parentElement.querySelector('.wrong');
    line.textContent = problem ?? '';
    line.id = `${input.id}-wrong`;
    input.setAttribute('aria-describedby', line.id);
  }
}

function tell(section, text, bad) {
  section.notice.textContent = text;
  section.notice.classList.toggle('bad', bad);
  clearTimeout(section.fading);
  if (!bad) section.fading = setTimeout(() => { section.notice.textContent = ''; }, 4000);
}

function draw(section) {
  const { documents, failure, list } = section;
  section.count.textContent = documents ? `${section.total} in all` : '';
  section.more.hidden = !section.next;
  if (failure && !section.notice.textContent.startsWith('Not saved')) {
    tell(section, `The list cannot be read: ${failure}. Trying again …`, true);
    section.showingFailure = true;
  } else if (!failure && section.showingFailure) {
    tell(section, '', false);
    section.showingFailure = false;
  }
  if (documents) {
    section.names = new Map(documents.map((document) => [document.id, document.name]));
    list.replaceChildren(...(documents.length ? documents.map((d) => row(section.show(d)))
      : [row([['empty', `No ${section.one} yet. Add the first above.`]])]));
  } else {
    list.replaceChildren(row([['waiting', failure ? 'Nothing to show yet.' : 'Loading …']]));
  }
  if (section.id !== 'invoices') {
    fill(section);
    draw(sections.invoices);
  }
}

function row(lines) {
  const item = document.createElement('li');
  for (const [kind, text] of lines.filter(Boolean)) {
    const line = document.createElement('div');
    line.className = kind;
    line.textContent = text;
    item.append(line);
  }
  return item;
}

/** Offers the customers or products in the invoice's form, keeping what was chosen. */
function fill(section) {
  const select = document.getElementById(section.id === 'customers' ? 'i-customer' : 'i-product');
  if (document.activeElement === select) return;
  const chosen = select.value;
  const options = (section.documents ?? []).map(({ id, name }) => new Option(name, id));
  select.replaceChildren(...(options.length ? options : [new Option(`no ${section.one} yet`, '')]));
  if (section.names.has(chosen)) select.value = chosen;
}

const nameOf = (kind, id) => sections[kind].names.get(id) ?? `${sections[kind].one} ${id.slice(0, 8)}`;

async function refresh() {
  await Promise.all(Object.values(sections).map(load));
}

const live = document.getElementById('live');
async function loop() {
  if (live.checked && !document.hidden) await refresh();
  setTimeout(loop, REFRESH_MS);
}
refresh().then(() => setTimeout(loop, REFRESH_MS));

// Which instance of this page's own service, and which gateway, is at work.
fetch('/favicon.ico', { method: 'HEAD', cache: 'no-store' }).then((answer) => {
  const [page, gateway] = ['x-instance', 'x-gateway'].map((name) => answer.headers.get(name));
  document.getElementById('page').textContent =
    `This page came from ${page}${gateway ? ` through gateway ${gateway}` : ''}.`;
}).catch(() => {});
