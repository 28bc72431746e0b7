// Draws the cluster and keeps it up to date: asks once a second, changes only what changed.

const PERIOD_MS = 1000;
const TIMEOUT_MS = 5000;
// After so long without an answer the picture is called old.
const STALE_MS = 4000;

const at = (id) => document.getElementById(id);
const boxes = new Map();
let lastAnswer = 0;
let first = true;
const hues = new Map();
let huePlaces = 12;

async function look() {
  try {
    const answer = await fetch('/cluster.json', { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const body = await answer.json();
    if (!answer.ok) throw new Error([body.error, body.reason].filter(Boolean).join(': '));
    lastAnswer = Date.now();
    draw(body);
  } catch (error) {
    const text = error.name === 'TimeoutError' ? 'no answer in time' : error.message;
    show(at('note'), `Nothing new to show: ${text}. Trying again …`);
    if (first) at('summary').textContent = '';
  }
  tick();
  setTimeout(look, PERIOD_MS);
}

function draw(cluster) {
  const { nodes, services, waiting, manager, note } = cluster;
  show(at('note'), note ?? '');
  const tasks = nodes.flatMap((node) => node.tasks);
  const running = tasks.filter((task) => task.state === 'running').length;
  const up = nodes.filter((node) => node.state === 'ready').length;
  at('summary').textContent = manager
    ? `${up} of ${nodes.length} nodes ready · ${running} tasks running · asked from ${cluster.from}`
    : `one engine, ${cluster.from} · ${running} containers running`;
  chooseHues([...new Set([...services.map((s) => s.name), ...tasks.concat(waiting).map((t) => t.service)])].sort());
  at('services').replaceChildren(...services.map(chip));
  sync(at('nodes'), nodes, (node) => `node ${node.id}`, 'node', drawNode);
  show(at('waiting'), waiting.length);
  tasksInto(at('waiting').querySelector('.tasks'), waiting, true);
  const alive = new Set([...nodes.map((node) => `node ${node.id}`),
    ...nodes.flatMap((node) => node.tasks).concat(waiting).map((task) => `task ${task.id}`)]);
  for (const key of boxes.keys()) if (!alive.has(key)) boxes.delete(key);
  first = false;
}

/** Puts one box per item into the parent, in order, reusing the boxes there are. */
function sync(parent, items, key, template, update) {
  const wanted = items.map((item) => {
    let box = boxes.get(key(item));
    if (!box) {
      box = at(template).content.firstElementChild.cloneNode(true);
      if (!first) box.classList.add('new');
      boxes.set(key(item), box);
    }
    update(box, item);
    return box;
  });
  wanted.forEach((box, place) => {
    if (parent.children[place] !== box) parent.insertBefore(box, parent.children[place] ?? null);
  });
  while (parent.children.length > wanted.length) parent.lastElementChild.remove();
}

function drawNode(box, node) {
  box.classList.toggle('down', node.state !== 'ready');
  text(box, 'h2', node.name || node.id);
  const badges = [[node.role, node.role === 'manager' ? 'accent' : ''], [node.state, node.state === 'ready' ? 'good' : 'bad']];
  if (node.leader) badges.splice(1, 0, ['leader', 'accent']);
  if (node.availability !== 'active') badges.push([node.availability, 'wait']);
  for (const [name, value] of Object.entries(node.labels)) badges.push([value ? `${name}=${value}` : name, '']);
  box.querySelector('.badges').replaceChildren(...badges.filter(([name]) => name).map(([name, kind]) => {
    const badge = document.createElement('span');
    badge.className = `badge ${kind}`;
    badge.textContent = name;
    return badge;
  }));
  const memory = node.memory_bytes ? `${(node.memory_bytes / 2 ** 30).toFixed(1)} GiB` : '';
  const cpus = node.cpus ? `${node.cpus} CPU${node.cpus === 1 ? '' : 's'}` : '';
  text(box, '.about', [node.address, cpus, memory, [node.os, node.architecture].filter(Boolean).join('/'), node.engine && `engine ${node.engine}`].filter(Boolean).join(' · '));
  tasksInto(box.querySelector('.tasks'), node.tasks, false);
}

function tasksInto(parent, tasks, wide) {
  const none = parent.querySelector('.none');
  if (tasks.length === 0 && !wide) {
    if (!none) {
      const line = document.createElement('p');
      line.className = 'none';
      line.textContent = 'no tasks';
      parent.replaceChildren(line);
    }
    return;
  }
  none?.remove();
  sync(parent, tasks, (task) => `task ${task.id}`, 'task', drawTask);
}

function drawTask(box, task) {
  const failed = ['failed', 'rejected', 'orphaned', 'dead', 'exited'].includes(task.state);
  box.style.setProperty('--hue', hue(task.service));
  box.classList.toggle('running', task.state === 'running' && task.desired === 'running');
  box.classList.toggle('failed', failed);
  box.classList.toggle('leaving', task.desired !== 'running' && task.desired !== 'ready');
  text(box, '.service', task.slot ? `${task.service}.${task.slot}` : task.service);
  text(box, '.state', task.desired === 'shutdown' && task.state === 'running' ? 'stopping' : task.state);
  text(box, '.image', task.image);
  text(box, '.container', task.container);
  box.dataset.since = task.since;
  text(box, '.message', task.error || (task.state === 'running' ? '' : task.message));
  box.querySelector('.message').classList.toggle('bad', Boolean(task.error));
}

function chip(service) {
  const box = document.createElement('span');
  box.className = 'chip';
  box.style.setProperty('--hue', hue(service.name));
  const count = document.createElement('b');
  count.textContent = `${service.running}/${service.wanted}`;
  if (service.running < service.wanted) count.className = 'short';
  box.append(`${service.name} `, count);
  if (service.mode === 'global') box.append(' global');
  for (const port of service.ports) box.append(part('port', ` :${port}`));
  if (service.update && service.update !== 'completed') box.append(part('update', ` ${service.update.replaceAll('_', ' ')}`));
  return box;
}

function part(kind, content) {
  const span = document.createElement('span');
  span.className = kind;
  span.textContent = content;
  return span;
}

/**
 * Gives each service a hue: by its name, so that it stays from one picture to the next, moved on
 * where another service has that hue already.
 */
function chooseHues(names) {
  const places = Math.max(12, names.length);
  const taken = new Map([...hues].filter(([name]) => names.includes(name)).map(([name, place]) => [place, name]));
  hues.clear();
  for (const [place, name] of taken) hues.set(name, place);
  for (const name of names) {
    if (hues.has(name)) continue;
    let hash = 2166136261;
    for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0), 16777619) >>> 0;
    let place = hash % places;
    while (taken.has(place)) place = (place + 1) % places;
    taken.set(place, name);
    hues.set(name, place);
  }
  huePlaces = places;
}

const hue = (name) => (hues.get(name) ?? 0) * 360 / huePlaces;

/** Times since, and whether the picture is fresh: once a second, also without an answer. */
function tick() {
  const silent = Date.now() - lastAnswer;
  at('pulse').className = lastAnswer && silent < STALE_MS ? 'fresh' : 'stale';
  at('age').textContent = !lastAnswer ? 'no answer yet' : silent < STALE_MS ? 'live' : `${Math.round(silent / 1000)} s old`;
  for (const box of document.querySelectorAll('.task')) text(box, '.since', since(box.dataset.since));
}

function since(time) {
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

function text(box, selector, content) {
  const line = box.querySelector(selector);
  if (line.textContent !== content) line.textContent = content;
}

function show(box, content) {
  box.hidden = !content;
  if (typeof content === 'string') box.textContent = content;
}

look();
