export function Settings() { return <main class="page"><p class="empty">…</p></main>; }
