// Making and updating elements. Whatever a string says, it gets into the page as text only.

export const byId = (id) => document.getElementById(id);

/** An element with these attributes and children; a string becomes text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Writes text where it differs, so that a selection in text that stays survives. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * A function that makes the children of `parent` show a list of items. What has the same key stays the same element and
 * is updated in place: focus, selection and what is unfolded survive. `make` returns `{ node, update(item) }`;
 * views that `keep` asks for stay although their item is gone.
 */
export function keyed(parent, key, make, keep = () => false) {
  let views = new Map();
  return (items) => {
    const focused = document.activeElement;
    const next = new Map();
    for (const item of items) {
      let name = key(item);
      while (next.has(name)) name += '+';
      const view = views.get(name) ?? make(item);
      view.update(item);
      next.set(name, view);
    }
    for (const [name, view] of views) {
      if (next.has(name)) continue;
      if (keep(view)) next.set(name, view);
      else view.node.remove();
    }
    let place = [...views.values()].find((view) => view.node.isConnected)?.node ?? null;
    for (const { node } of next.values()) {
      if (node === place) place = node.nextElementSibling;
      else parent.insertBefore(node, place);
    }
    if (focused.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    views = next;
  };
}

/** A function that gives `show` the first few items of a list, or all after a click on the button. */
export function shortened(button, few, show) {
  let [last, all] = [[], false];
  const render = (items) => {
    last = items;
    show(all ? items : items.slice(0, few));
    button.hidden = items.length <= few;
    write(button, all ? `Show the first ${few}` : `Show all ${items.length}`);
  };
  button.addEventListener('click', () => {
    all = !all;
    render(last);
  });
  return render;
}
