// Begins: the page first, then what it shows.
import { createApp } from "vue";
import App from "./App.vue";
import { start } from "./state";
import "./style.css";

createApp(App).mount("#app");
void start();
