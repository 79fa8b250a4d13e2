// Entry of the status page.
import { mount } from "svelte";
import "../lib/base.css";
import Status from "./Status.svelte";

const target = document.getElementById("app");
if (target) mount(Status, { target });
