// Entry of the page of the server.
import { mount } from "svelte";
import "../lib/base.css";
import Server from "./Server.svelte";

const target = document.getElementById("app");
if (target) mount(Server, { target });
