// Type declarations that Vite brings: CSS imports and the like.
/// <reference types="vite/client" />
