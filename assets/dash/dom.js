// What every view draws with: preact and htm, and hooks that follow the feed.
import { html, render, useEffect, useReducer, useRef, useState, useMemo } from "../vendor/htm-3.1.1/preact.standalone.js";
import { feed } from "./feed.js";

export { html, render, useEffect, useMemo, useRef, useState };

// Draws anew when one of these channels changed, at most once a frame.
export function useFeed(...channels) {
  const [, again] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    // What changed between the first drawing and now is not missed.
    again();
    return feed.watch(channels, again);
  }, []);
  return feed;
}

// Draws anew this often, for ages and running clocks; 0 stands still.
export function useClock(everyMs) {
  const [, again] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    if (everyMs === 0) return undefined;
    const timer = setInterval(again, everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
}

// What the service answers to a question, asked anew when `key` changes or `again` is called.
export function useAnswer(ask, key) {
  const [state, set] = useState({ answer: null, problem: null });
  const round = useRef(0);
  const load = () => {
    const mine = ++round.current;
    const told = (next) => mine === round.current && set(next);
    ask().then((answer) => told({ answer, problem: null }), (problem) => told({ answer: null, problem }));
  };
  useEffect(load, [key]);
  return { ...state, again: load };
}
