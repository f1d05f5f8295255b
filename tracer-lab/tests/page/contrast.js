// Text in sight whose contrast with its background is below 4.5 to 1 (WCAG 2 AA), each with the ratio.
const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
const luminance = (colour) => {
  const [red, green, blue] = channels(colour).slice(0, 3).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const ground = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    const [, , , opacity = 1] = channels(colour);
    if (opacity > 0) return colour;
  }
  return 'rgb(255, 255, 255)';
};
const speaks = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
return [...document.body.querySelectorAll('*')]
  .filter((node) => speaks(node) && node.checkVisibility({ visibilityProperty: true }))
  .map((node) => {
    const [light, dark] = [getComputedStyle(node).color, ground(node)].map(luminance).sort((one, other) => other - one);
    return [(light + 0.05) / (dark + 0.05), node.textContent.trim().slice(0, 40)];
  })
  .filter(([ratio]) => ratio < 4.5);
