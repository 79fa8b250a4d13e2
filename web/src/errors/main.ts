// Entry of the page of errors.
import { mount } from "svelte";
import "../lib/base.css";
import Errors from "./Errors.svelte";

const target = document.getElementById("app");
if (target) mount(Errors, { target });
