export function Portal() { return <main class="page"><p class="empty">…</p></main>; }
