import { createContext, createElement, type ReactNode, useContext, useEffect, useState } from "react";
import { Client } from "../client/client.js";
import type { ClientOptions } from "../client/options.js";
import { Feeds } from "./feeds.js";

interface Shared {
  readonly client: Client;
  readonly feeds: Feeds;
}

const Context = createContext<Shared | undefined>(undefined);
/** One a client, whoever provides it. */
const shared = new WeakMap<Client, Shared>();

export type FanwireProviderProps = { readonly children?: ReactNode } & (
  | {
      /** A client that the application made, and closes. */
      readonly client: Client;
    }
  | {
      /** Makes a client for it when the page is there, and closes it with the provider. Another address: another client. */
      readonly url: string;
      /** Read when the client is made. */
      readonly options?: ClientOptions | undefined;
    }
);

/** Gives the hooks below it their client. While a page is rendered on a server, and until it is there, they show nothing yet. */
export function FanwireProvider(props: FanwireProviderProps): ReactNode {
  const made = useMade("client" in props ? undefined : props);
  const client = "client" in props ? props.client : made;
  return createElement(Context.Provider, { value: client && sharedOf(client) }, props.children);
}

/** The provider's client: to publish, and for whatever there is no hook for. Undefined until the page is there. */
export function useClient(): Client | undefined {
  return useContext(Context)?.client;
}

export function useFeeds(): Feeds | undefined {
  return useContext(Context)?.feeds;
}

function useMade(wanted: { readonly url: string; readonly options?: ClientOptions | undefined } | undefined) {
  const [made, setMade] = useState<Client>();
  const url = wanted?.url;
  const options = wanted?.options;
  // biome-ignore lint/correctness/useExhaustiveDependencies: options are mostly written in place, another object every render.
  useEffect(() => {
    if (url === undefined) return undefined;
    const client = new Client(url, options);
    setMade(client);
    return () => {
      client.close();
      setMade(undefined);
    };
  }, [url]);
  return made;
}

function sharedOf(client: Client): Shared {
  let found = shared.get(client);
  if (found === undefined) {
    found = { client, feeds: new Feeds(client) };
    shared.set(client, found);
  }
  return found;
}
