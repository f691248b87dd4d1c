package interlock

import (
	"context"
	"iter"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// ListWorkflows lists the workflows that can be started, by name, newest version only.
func (c *Client) ListWorkflows(ctx context.Context) iter.Seq2[*interlockv1.Workflow, error] {
	return pages(func(token string) ([]*interlockv1.Workflow, string, error) {
		request := &interlockv1.ListWorkflowsRequest{PageToken: token}
		reply, err := call(ctx, c, c.workflows.ListWorkflows, request, 0)
		return reply.GetWorkflows(), reply.GetNextPageToken(), err
	})
}

// Session is state that runs share.
type Session struct {
	// Message is the session as the server sent it.
	Message *interlockv1.Session
}

// ID was chosen by a caller, or made by the service.
func (s *Session) ID() string { return s.Message.GetSessionId() }

// State is a JSON object that functions, tools and agents of its runs can read and change.
func (s *Session) State() JSON { return JSON(s.Message.GetStateJson()) }

// GetSession gets a session; [Client.ListRuns] gives its runs.
func (c *Client) GetSession(ctx context.Context, id string) (*Session, error) {
	request := &interlockv1.GetSessionRequest{SessionId: id}
	reply, err := call(ctx, c, c.sessions.GetSession, request, 0)
	if err != nil {
		return nil, err
	}
	return &Session{Message: reply.GetSession()}, nil
}
