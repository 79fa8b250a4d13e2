// Entry of the page of people.
import { mount } from "svelte";
import "../lib/base.css";
import People from "./People.svelte";

const target = document.getElementById("app");
if (target) mount(People, { target });
