// Tells the type checker what the build understands beside TypeScript.
/// <reference types="vite/client" />
