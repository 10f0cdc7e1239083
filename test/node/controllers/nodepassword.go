package controllers

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// ErrNodePasswordRejected says that the node came back under a known name with
// another password.
var ErrNodePasswordRejected = errors.New("node password rejected")

// NodePasswordAdvice is what k3s logs in that case, word for word.
const NodePasswordAdvice = "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag"

const (
	hashKey = "hash"
	// hashRounds is small because a password is 128 random bits.
	hashRounds = 4096
)

// NodePassword is the password of this node and where it is checked.
type NodePassword struct {
	clients  *Clients
	node     string
	password string
}

// LoadNodePassword reads the password from a file, or makes both.
func LoadNodePassword(clients *Clients, node, path string) (*NodePassword, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		var random [16]byte
		if _, err := rand.Read(random[:]); err != nil {
			return nil, err
		}
		content = []byte(hex.EncodeToString(random[:]) + "\n")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	password := strings.TrimSpace(string(content))
	if password == "" {
		return nil, fmt.Errorf("the node password file %s is empty", path)
	}
	return &NodePassword{clients: clients, node: node, password: password}, nil
}

func secretName(node string) string { return node + ".node-password.k3s" }

// Check asks whether the node may register. Known says whether the cluster
// had seen it before; a node that it has not seen may, and is then noted
// with Remember.
func (n *NodePassword) Check(ctx context.Context) (known bool, err error) {
	secret, err := n.clients.Typed.CoreV1().Secrets(metav1.NamespaceSystem).Get(ctx, secretName(n.node), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !verifyPassword(string(secret.Data[hashKey]), n.password) {
		return true, ErrNodePasswordRejected
	}
	return true, nil
}

// Remember notes the password's hash. It tries until the namespace is there,
// which on a new cluster takes a moment.
func (n *NodePassword) Remember(ctx context.Context) error {
	hash, err := hashPassword(n.password)
	if err != nil {
		return err
	}
	immutable := true
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretName(n.node), Namespace: metav1.NamespaceSystem},
		Immutable:  &immutable,
		Data:       map[string][]byte{hashKey: []byte(hash)},
	}
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		_, err := n.clients.Typed.CoreV1().Secrets(metav1.NamespaceSystem).Create(ctx, secret, metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("store the node password: %w", err)
		case <-ticker.C:
		}
	}
}

// ForgetDeletedNodes deletes the password of each node that is deleted, so
// that another machine may take its name.
func ForgetDeletedNodes(ctx context.Context, clients *Clients, factory informers.SharedInformerFactory) error {
	_, err := factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		DeleteFunc: func(object any) {
			name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
			if err != nil {
				logrus.Errorf("A deleted node has no name: %v", err)
				return
			}
			err = clients.Typed.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, secretName(name), metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
				logrus.Errorf("Failed to delete the password of node %s: %v", name, err)
			}
		},
	})
	return err
}

// hashPassword returns "$1:salt:rounds:hash", both parts in base64.
func hashPassword(password string) (string, error) {
	var salt [8]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return "", err
	}
	return encodeHash(password, salt[:])
}

func encodeHash(password string, salt []byte) (string, error) {
	key, err := pbkdf2.Key(sha256.New, password, salt, hashRounds, sha256.Size)
	if err != nil {
		return "", err
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$1:%s:%d:%s", encode(salt), hashRounds, encode(key)), nil
}

// verifyPassword reports whether the hash was made of the password. A hash
// that cannot be read matches nothing.
func verifyPassword(hash, password string) bool {
	parts := strings.Split(hash, ":")
	if len(parts) != 4 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	expected, err := encodeHash(password, salt)
	return err == nil && subtle.ConstantTimeCompare([]byte(expected), []byte(hash)) == 1
}
