/**
 * The JSON of the local API, mirrored from `src/mepassa/client/api/types.py` (tests/browser compares the two).
 * Ids are lower-case hex, times unix milliseconds.
 */

export type ErrorBody = { code: string; message: string; field: string | null };
export type Home = { url: string; connected: boolean; error: ErrorBody | null };
export type Me = { account_id: string; device_id: number; name: string; home: Home };
export type Health = { ok: boolean; home: Home; problems: ErrorBody[]; waiting: number };

export type ChatState = "requested" | "request" | "accepted" | "blocked";
export type Verification = "none" | "verified" | "withdrawn";
export type Policy = "auto" | "direct_only" | "hide_my_ip" | "data_saver";
export type PathKind = "direct" | "relayed";
export type Path = { kind: PathKind; rtt_ms: number | null };
export type Chat = {
  id: string;
  name: string;
  account_id: string;
  state: ChatState;
  unread: number;
  path: Path | null;
  policy: Policy;
  verification: Verification;
  verified_at_ms: number | null;
};

export type RouteKind = "direct" | "relayed" | "stored";
export type RouteTransport = "libp2p" | "quic" | "mailbox";
export type AddressClass = "loopback" | "lan" | "public" | "ipv6" | "hole_punched" | "mapped" | "relay" | "home";
export type FoundBy = "signal" | "dht" | "lan" | "last_known";
export type Route = {
  kind: RouteKind;
  transport: RouteTransport;
  via: string | null;
  address_class: AddressClass | null;
  found_by: FoundBy | null;
  rtt_ms: number | null;
};

export type MessageStatus = "queued" | "sent" | "stored" | "delivered" | "read" | "failed";
export type TextContent = { kind: "text"; text: string };
export type UnreadableContent = { kind: "unreadable"; code: string };
export type Content = TextContent | UnreadableContent;
export type Message = {
  id: string;
  chat_id: string;
  sender: string;
  sent_at_ms: number;
  sender_seq: number;
  content: Content;
  status: MessageStatus;
  route: Route | null;
};

export type Invite = { id: string; link: string; scheme_link: string; qr_svg: string; expires_at_ms: number };
export type InviteKind = "link" | "qr";
export type SafetyNumber = { safety_number: string };
export type SafetyCode = { code: string; qr_svg: string };
export type Comparison = { result: ComparisonResult };
export type ComparisonResult = "match" | "no_match" | "own_code" | "other_version" | "no_code";

export type MessageEvent = { type: "message"; seq: number; message: Message };
export type StatusEvent = {
  type: "status";
  seq: number;
  chat_id: string;
  message_id: string;
  status: MessageStatus;
  route: Route | null;
};
export type PathEvent = { type: "path"; seq: number; chat_id: string; path: Path | null };
export type ChatEvent = { type: "chat"; seq: number; chat: Chat };
export type HomeEvent = { type: "home"; seq: number; home: Home };
/** Something that a person must know; `note` is a stable word. */
export type AlarmEvent = { type: "alarm"; seq: number; chat_id: string | null; note: string };
/** A row that could not be opened left the screen: its text has come again as a message of its own. */
export type GoneEvent = { type: "gone"; seq: number; chat_id: string; message_id: string };
export type ResetEvent = { type: "reset" };
export type Event = MessageEvent | StatusEvent | PathEvent | ChatEvent | HomeEvent | AlarmEvent | GoneEvent | ResetEvent;

export const MAX_TEXT_BYTES = 16_384;
/** Until the other side has accepted. */
export const MAX_REQUEST_TEXT_BYTES = 2_048;

/** What the API refused, or why it could not be asked (`code` "Unreachable", "Unauthorized"). */
export class ApiError extends Error {
  readonly code: string;
  readonly field: string | null;
  constructor(body: ErrorBody) {
    super(body.message);
    this.code = body.code;
    this.field = body.field;
  }
  /** The node did not take it up, or not from this page until `mepassa open`: the same request may be made again. */
  get isTransient(): boolean {
    return this.code === "Unreachable" || this.code === "Unauthorized" || this.code === "BusyError";
  }
}

/** The node, as the page asks it. Each call throws `ApiError` and nothing else. */
export interface NodeApi {
  me(): Promise<Me>;
  health(): Promise<Health>;
  chats(): Promise<Chat[]>;
  messages(chatId: string, limit: number, before?: string): Promise<Message[]>;
  safetyNumber(chatId: string): Promise<SafetyNumber>;
  safetyCode(chatId: string): Promise<SafetyCode>;
  compareCode(chatId: string, code: string): Promise<Comparison>;
  /** `compared`: the 60 digits that were found equal; null takes the mark back. */
  setVerification(chatId: string, compared: string | null): Promise<Chat>;
  createInvite(kind: InviteKind): Promise<Invite>;
  revokeInvite(id: string): Promise<void>;
  addContact(link: string, direct: boolean): Promise<Chat>;
  send(chatId: string, clientId: string, text: string): Promise<Message>;
  sendByServer(messageId: string): Promise<Message>;
  accept(chatId: string, direct: boolean): Promise<Chat>;
  block(chatId: string): Promise<Chat>;
  markRead(chatId: string, upTo: string): Promise<Chat>;
  setPolicy(chatId: string, route: Policy): Promise<Chat>;
}
