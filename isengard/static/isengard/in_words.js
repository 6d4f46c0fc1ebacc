// Figures as people read them: the same words as the server's own.

/** Return `45 s`, `3 min 10 s`, `2 h 05 min` or `3 d 04 h`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const padded = (number) => String(number).padStart(2, "0");
  if (whole >= 86400) return `${Math.floor(whole / 86400)} d ${padded(Math.floor(whole / 3600) % 24)} h`;
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${padded(Math.floor(whole / 60) % 60)} min`;
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${padded(whole % 60)} s` : `${whole} s`;
}

/** Return the time of day in UTC. */
export const clock = (moment) => new Date(moment).toISOString().slice(11, 19);
