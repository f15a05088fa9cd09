for (const player of document.querySelectorAll(".player")) {
  const frames = [...player.querySelectorAll("img")];
  if (frames.length < 2) continue;
  const slider = player.querySelector("input"), label = player.querySelector("output");
  const show = (at) => {
    frames.forEach((frame, i) => { frame.style.display = i === at ? "" : "none"; });
    label.textContent = frames[at].alt;
    slider.value = at;
  };
  let at = 0, step = 1, timer = null;
  const play = () => {
    if (at + step < 0 || at + step >= frames.length) step = -step;
    show((at += step));
  };
  const button = player.querySelector("button");
  button.onclick = () => {
    timer = timer ? clearInterval(timer) : setInterval(play, 160);
    button.textContent = timer ? "Pause" : "Play";
  };
  slider.oninput = () => { at = Number(slider.value); show(at); };
  player.querySelector(".controls").hidden = false;
  player.querySelector(".frames").classList.remove("strip");
  show(0);
}
