"use strict";
// Renders /openapi.json. Everything is set as text, so nothing in the document can become markup.

const METHODS = ["get", "head", "post", "put", "patch", "delete"];

function el(name, text, ...children) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

function resolve(api, node) {
  if (!node || !node.$ref) return node || {};
  return node.$ref.replace(/^#\//, "").split("/").reduce((at, key) => at[key.replace(/~1/g, "/")], api);
}

function shape(api, schema, depth) {
  const name = schema && schema.$ref ? schema.$ref.split("/").pop() : "";
  const full = resolve(api, schema);
  const parts = full.allOf || (full.oneOf || []).filter((one) => one.type !== "null");
  if (parts.length) return Object.assign({}, ...parts.map((part) => shape(api, part, depth)));
  if (full.properties && depth < 4) {
    const out = {};
    for (const [key, value] of Object.entries(full.properties)) out[key] = shape(api, value, depth + 1);
    return out;
  }
  if (full.type === "array" && depth < 4) return [shape(api, full.items, depth + 1)];
  if (full.example !== undefined) return full.example;
  return [].concat(full.type || name || "any").join(" or ");
}

function table(head, rows) {
  const row = (cells, cell) => el("tr", "", ...cells.map((text) => el(cell, String(text || ""))));
  return el("table", "", el("thead", "", row(head, "th")), el("tbody", "", ...rows.map((cells) => row(cells, "td"))));
}

function bodies(api, content) {
  return Object.entries(content || {}).flatMap(([type, media]) => {
    const text = media.schema ? JSON.stringify(shape(api, media.schema, 0), null, 2) : "";
    return [el("small", type), ...(text ? [el("pre", text)] : [])];
  });
}

function operation(api, method, path, op) {
  const box = el("details", "", el("summary", "", el("b", method.toUpperCase()), el("code", path), el("span", " " + (op.summary || ""))));
  if (op.description) box.append(el("p", op.description));
  if (op.parameters && op.parameters.length) {
    box.append(el("h4", "Parameters"), table(["name", "in", "description"], op.parameters.map((p) => [p.name + (p.required ? " (required)" : ""), p.in, p.description])));
  }
  if (op.requestBody) box.append(el("h4", "Body"), ...bodies(api, op.requestBody.content));
  for (const [status, raw] of Object.entries(op.responses || {})) {
    const response = resolve(api, raw);
    box.append(el("h4", status + ": " + (response.description || "")), ...bodies(api, response.content));
  }
  box.dataset.text = [method, path, op.summary, op.description].join(" ").toLowerCase();
  return box;
}

function render(api) {
  document.getElementById("about").textContent = api.info.title + " " + api.info.version + ". " + api.info.description;
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS) {
      if (!item[method]) continue;
      const tag = (item[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operation(api, method, path, item[method]));
    }
  }
  const main = document.getElementById("operations");
  for (const [tag, boxes] of groups) main.append(el("section", "", el("h2", tag), ...boxes));
  document.getElementById("search").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const box of main.querySelectorAll("details")) box.hidden = !words.every((word) => box.dataset.text.includes(word));
    for (const section of main.querySelectorAll("section")) section.hidden = !section.querySelector("details:not([hidden])");
  });
}

fetch("/openapi.json")
  .then((response) => (response.ok ? response.json() : Promise.reject(new Error("status " + response.status))))
  .then(render)
  .catch((error) => { document.getElementById("about").textContent = "The document could not be read: " + error.message; });
