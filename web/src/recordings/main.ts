// Entry of the page of recordings.
import { mount } from "svelte";
import "../lib/base.css";
import Recordings from "./Recordings.svelte";

const target = document.getElementById("app");
if (target) mount(Recordings, { target });
