// Entry of the page of channels.
import { mount } from "svelte";
import "../lib/base.css";
import Channels from "./Channels.svelte";

const target = document.getElementById("app");
if (target) mount(Channels, { target });
