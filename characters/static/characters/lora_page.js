import { askFirst } from "../isengard/asking.js";

const page = document.getElementById("lora-page");
if (page) askFirst(page);
