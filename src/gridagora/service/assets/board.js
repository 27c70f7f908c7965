// Renews the board of the start page every two seconds while somebody looks at it.
"use strict";
(() => {
  const board = document.getElementById("board");
  let waits = 2000;
  async function renew() {
    if (!document.hidden) {
      try {
        const answer = await fetch("/board", { headers: { Accept: "text/html" } });
        if (answer.ok) {
          board.innerHTML = await answer.text();
          waits = 2000;
        } else {
          waits = Math.min(30000, waits * 2);
        }
        board.classList.toggle("stale", !answer.ok);
      } catch {
        board.classList.add("stale");
        waits = Math.min(30000, waits * 2);
      }
    }
    setTimeout(renew, waits);
  }
  setTimeout(renew, waits);
})();
