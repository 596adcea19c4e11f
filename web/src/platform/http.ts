/** The local API over fetch, same origin; the node's cookie comes along by itself. */

import { ApiError, type ErrorBody, type NodeApi } from "../model/api";

/** One request. Throws `ApiError`: the node's own, or "Unreachable" / "Unauthorized". */
export async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      keepalive: method !== "GET", // what is decided in the last moment of a page still leaves
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
    });
    text = await response.text(); // cut off: the node has ended meanwhile, and whether it did what was asked is not known
  } catch {
    throw new ApiError({ code: "Unreachable", message: "The node does not answer.", field: null });
  }
  if (response.status === 401) throw new ApiError({ code: "Unauthorized", message: "Not logged in.", field: null });
  if (response.ok) return (text ? JSON.parse(text) : undefined) as T;
  throw new ApiError(errorIn(text) ?? { code: "Unexpected", message: `HTTP ${response.status}`, field: null });
}

function errorIn(text: string): ErrorBody | null {
  try {
    const error = (JSON.parse(text) as { error?: Partial<ErrorBody> }).error;
    return error?.code ? { code: error.code, message: error.message ?? "", field: error.field ?? null } : null;
  } catch {
    return null;
  }
}

export function httpApi(root = "/api/v1"): NodeApi {
  const chat = (id: string) => `${root}/chats/${encodeURIComponent(id)}`;
  return {
    me: () => request("GET", `${root}/me`),
    health: () => request("GET", `${root}/health`),
    chats: () => request("GET", `${root}/chats`),
    messages: (id, limit, before) =>
      request("GET", `${chat(id)}/messages?limit=${limit}${before ? `&before=${encodeURIComponent(before)}` : ""}`),
    safetyNumber: (id) => request("GET", `${chat(id)}/safety_number`),
    safetyCode: (id) => request("GET", `${chat(id)}/safety_code`),
    compareCode: (id, code) => request("POST", `${chat(id)}/safety_code`, { code }),
    setVerification: (id, compared) =>
      request("PUT", `${chat(id)}/verification`, { verified: compared !== null, safety_number: compared }),
    createInvite: (kind) => request("POST", `${root}/invites`, { kind }),
    revokeInvite: (id) => request("DELETE", `${root}/invites/${encodeURIComponent(id)}`),
    addContact: (link, direct) => request("POST", `${root}/contacts`, { link, direct }),
    send: (id, clientId, text) => request("POST", `${chat(id)}/messages`, { client_id: clientId, text, reply_to: null }),
    sendByServer: (id) => request("POST", `${root}/messages/${encodeURIComponent(id)}/send_by_server`),
    accept: (id, direct) => request("POST", `${chat(id)}/accept`, { direct }),
    block: (id) => request("POST", `${chat(id)}/block`),
    markRead: (id, upTo) => request("POST", `${chat(id)}/read`, { up_to: upTo }),
    setPolicy: (id, route) => request("PUT", `${chat(id)}/policy`, { route }),
  };
}
