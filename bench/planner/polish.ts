import { summarize } from "../support/statistics.js";

const ROUNDS_MAX = 20;

/**
 * What each point took, without what whole rounds took more or less than others: a machine that slows down does so for
 * all points of a round. Tukey's median polish of logarithms: value = point × round, and a few values that are far off
 * move neither. `rounds`: of each round the values of all points, above 0.
 */
export function withoutDrift(rounds: readonly (readonly number[])[]): readonly number[] {
  const rest = rounds.map((round) => round.map((value) => Math.log(value)));
  const points = (rounds[0] ?? []).map(() => 0);
  for (let turn = 0; turn < ROUNDS_MAX; turn++) {
    for (const point of points.keys()) {
      const middle = summarize(rest.map((round) => round[point] ?? 0)).median;
      points[point] = (points[point] ?? 0) + middle;
      for (const round of rest) round[point] = (round[point] ?? 0) - middle;
    }
    for (const round of rest) {
      const middle = summarize(round).median;
      for (const point of round.keys()) round[point] = (round[point] ?? 0) - middle;
    }
  }
  return points.map(Math.exp);
}
