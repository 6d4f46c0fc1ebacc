import { askFirst } from "./asking.js";

const page = document.getElementById("lora-page");
if (page) askFirst(page);
