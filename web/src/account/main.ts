// Entry of the account page.
import { mount } from "svelte";
import "../lib/base.css";
import Account from "./Account.svelte";

const target = document.getElementById("app");
if (target) mount(Account, { target });
