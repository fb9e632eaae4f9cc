// The module that anywidget loads: one store per model, one viewer per place where it is shown.
import "./viewer.css";
import { Comparison } from "./compare.js";
import { Store } from "./store.js";
import { Viewer } from "./viewer.js";

const stores = new WeakMap();

function storeOf(model) {
  if (!stores.has(model)) stores.set(model, new Store(model));
  return stores.get(model);
}

export default {
  initialize({ model }) {
    storeOf(model);
  },
  render({ model, el }) {
    const options = { height: model.get("height") };
    const view = model.get("_compared") ? new Comparison(storeOf(model), options) : new Viewer(storeOf(model), options);
    el.append(view.element);
    return () => view.close();
  },
};
